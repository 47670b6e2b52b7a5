"""What a cluster does to a training in the middle costs minutes: it goes on from its checkpoint to the same weights."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from made_up_run import made_up_run
from models.sagefm.toy_section import section, written
from run_folder import ROOT, snakemake
from slurm.cluster import ask, finish, jobs, rule, until
from slurm.rehearsal.sitecustomize import VALIDATE_EVERY

pytestmark = pytest.mark.workflow
MODEL = "results/models/sagefm/model.safetensors"
CONFIG = {
    "deconvolution": {"methods": []},
    "imputation": {"methods": ["sagefm"]},
    "histology": {"encoders": []},
}
DONE = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL"}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """A run in which one section waits to be learnt from."""
    folder = tmp_path_factory.mktemp("faults")
    run = made_up_run(folder, CONFIG, [], [])
    filtered = run / "results/samples/taught/filtered.h5ad"
    times = filtered.stat()
    shutil.copyfile(written(folder, "section", section(0)), filtered)
    os.utime(filtered, ns=(times.st_atime_ns, times.st_mtime_ns))
    return run


@pytest.fixture(scope="module")
def undisturbed(cohort, tmp_path_factory) -> dict[str, np.ndarray]:
    """Weights of a training on this machine, without SLURM."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    shutil.copytree(cohort, run)
    hook = {"PYTHONPATH": str(ROOT / "tests" / "slurm" / "rehearsal"), "REHEARSAL": "1"}
    done = snakemake(run, MODEL, **hook)
    assert done.returncode == 0, done.stderr[-4000:]
    return load_file(run / MODEL)


def held(cohort: Path, folder: Path) -> Path:
    run = folder / "run"
    shutil.copytree(cohort, run)
    (run / "hold").touch()
    return run


def same(run: Path, weights: dict[str, np.ndarray], step: int = VALIDATE_EVERY) -> None:
    """The training went on from `step`, to the weights of an undisturbed one, bit by bit; nothing else was done."""
    found = load_file(run / MODEL)
    assert found.keys() == weights.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    log = (run / "logs/models/sagefm.log").read_text()
    assert f"Going on from step {step} of" in log, log
    assert not (run / "results/checkpoints/sagefm").exists()
    for job in jobs(run):
        assert rule(job) == "pretrain_sagefm"
        # The profile `slurm` asks for a job's GPUs, `slurm-gres` for a node's.
        given = job.get("TresPerJob", "") + job.get("TresPerNode", "")
        assert job["Partition"] == "gpu" and "gres:gpu:1" in given
    assert "made-up GPU" in (run / "results/models/sagefm/README.md").read_text()


def last(run: Path, key: str = "JobState") -> str:
    """What SLURM says of the run's last job; nothing when there is none."""
    return jobs(run)[-1][key] if jobs(run) else ""


def ended(run: Path) -> bool:
    return last(run) in DONE or len(jobs(run)) > 1


STRIKES = {
    "cancelled": "CANCELLED",
    "killed": "FAILED",
    "starved": "FAILED",
    "late": "TIMEOUT",
    "interrupted": "CANCELLED",
}
OPTIONS = {
    "starved": ("--set-resources", "pretrain_sagefm:mem_mb=1200 * 2 ** (attempt - 1)"),
}


PROFILES = {"killed": "slurm-gres"}


def test_a_training_that_is_struck_in_the_middle_goes_on(slurm, cohort, undisturbed, tmp_path):
    """Cancelled, its process killed, out of memory, out of time, Snakemake interrupted by Ctrl-C.

    One of them on a cluster that takes ``--gres`` only; what a training ran on stands in its model's card.
    """
    runs, running = {}, {}
    for strike in STRIKES:
        runs[strike] = held(cohort, tmp_path / strike)
        (runs[strike] / "eat").touch() if strike == "starved" else None
        running[strike] = slurm.start(
            runs[strike], *OPTIONS.get(strike, ()), "--", MODEL, profile=PROFILES.get(strike, "slurm")
        )
    for strike, run in runs.items():
        until((run / "holding").exists) if strike != "starved" else until(lambda run=run: ended(run))
        if strike == "cancelled":
            ask("scancel", last(run, "JobId"))
        elif strike == "killed":
            os.kill(int((run / "holding").read_text()), signal.SIGKILL)
        elif strike == "late":
            ask("scontrol", "update", f"JobId={last(run, 'JobId')}", "TimeLimit=1")
        elif strike == "interrupted":
            running[strike].send_signal(signal.SIGINT)
    for strike, run in runs.items():
        until(lambda run=run: ended(run))
        (run / "hold").unlink()
        if strike == "interrupted":
            assert running[strike].wait(120) != 0
            running[strike] = slurm.start(run, "--", MODEL)
    for strike, run in runs.items():
        finish(running[strike], run)
        first, second = jobs(run)
        assert first["JobState"] in (STRIKES[strike], "OUT_OF_MEMORY"), (strike, first)
        assert second["JobState"] == "COMPLETED"
        memory = [int(job["MinMemoryNode"].removesuffix("M")) for job in (first, second)]
        assert memory[1] == memory[0] * (1 if strike == "interrupted" else 2)
        same(run, undisturbed)


def holds_at(run: Path, step: int) -> None:
    """Wait until a training holds after its checkpoint of `step`, having gone on from the one before."""
    before = f"Going on from step {step - VALIDATE_EVERY} of"
    until(lambda: (run / "holding").exists() and before in (run / "logs/models/sagefm.log").read_text())
    (run / "holding").unlink()


def test_a_training_outlives_the_cluster_and_the_run(slurm, cohort, undisturbed, tmp_path):
    """Its node is drained, the controller restarted, Snakemake killed, the node lost; nothing is done twice."""
    run = held(cohort, tmp_path)
    ask("scontrol", "update", "NodeName=gpu1", "State=DRAIN", "Reason=test")
    running = slurm.start(run, "--", MODEL)
    until(lambda: last(run) == "PENDING")
    ask("scontrol", "update", "NodeName=gpu1", "State=RESUME")
    until((run / "holding").exists)

    os.kill(int((slurm.folder / "slurmctld.pid").read_text()), signal.SIGTERM)
    until(lambda: not ask("scontrol", "ping").endswith("UP"))
    ask("slurmctld")
    until(lambda: last(run) == "RUNNING")
    assert len(jobs(run)) == 1 and running.poll() is None

    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    # What a killed Snakemake left in the queue is not its successor's: it would train beside it.
    ask("scancel", last(run, "JobId"))
    until(lambda: last(run) == "CANCELLED")
    (run / "holding").unlink()
    assert snakemake(run, "--unlock").returncode == 0
    running = slurm.start(run, "--", MODEL)
    holds_at(run, 2 * VALIDATE_EVERY)

    slurm.lose("gpu1", run)
    until(lambda: last(run, "Restarts") == "1")
    slurm.find("gpu1")
    # SLURM itself queues a lost job again, for two minutes later: after its own last word to the job that was lost.
    ask("scontrol", "update", f"JobId={last(run, 'JobId')}", "StartTime=now+8")
    holds_at(run, 3 * VALIDATE_EVERY)

    # Where a site does not want that, Snakemake does.
    ask("scontrol", "update", f"JobId={last(run, 'JobId')}", "Requeue=0")
    slurm.lose("gpu1", run)
    until(lambda: "NODE_FAIL" in [job["JobState"] for job in jobs(run)])
    (run / "hold").unlink()
    slurm.find("gpu1")
    finish(running, run)
    assert [job["JobState"] for job in jobs(run)] == ["CANCELLED", "NODE_FAIL", "COMPLETED"]
    same(run, undisturbed, 3 * VALIDATE_EVERY)
