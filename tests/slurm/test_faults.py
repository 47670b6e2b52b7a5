"""What a cluster does to a training in the middle costs minutes: it goes on from its checkpoint to the same weights."""

import json
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
from slurm.cluster import ask, cluster, finish, jobs, missing, rule, until
from slurm.rehearsal.sitecustomize import VALIDATE_EVERY

pytestmark = [pytest.mark.workflow, pytest.mark.skipif(missing() != "", reason=f"no cluster: {missing()}")]
MODEL = "results/models/sagefm/model.safetensors"
CONFIG = {
    "deconvolution": {"methods": []},
    "imputation": {"methods": ["sagefm"]},
    "histology": {"encoders": []},
}
DONE = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL"}


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("cluster")) as folder:
        yield folder


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


def same(run: Path, weights: dict[str, np.ndarray]) -> None:
    found = load_file(run / MODEL)
    assert found.keys() == weights.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    log = (run / "logs/models/sagefm.log").read_text()
    assert f"Going on from step {VALIDATE_EVERY} of" in log, log
    assert not (run / "results/checkpoints/sagefm").exists()
    for job in jobs(run):
        assert (
            rule(job) == "pretrain_sagefm" and job["Partition"] == "gpu" and "gres:gpu:1" in job["TresPerJob"]
        )


def state(run: Path) -> str:
    return jobs(run)[-1]["JobState"] if jobs(run) else ""


STRIKES = {
    "cancelled": "CANCELLED",
    "killed": "FAILED",
    "starved": "FAILED",
    "late": "TIMEOUT",
}
OPTIONS = {
    "starved": ("--set-resources", "pretrain_sagefm:mem_mb=1200 * 2 ** (attempt - 1)"),
}


def test_a_training_that_is_struck_in_the_middle_goes_on(slurm, cohort, undisturbed, tmp_path):
    runs, running = {}, {}
    for strike in STRIKES:
        runs[strike] = held(cohort, tmp_path / strike)
        (runs[strike] / "eat").touch() if strike == "starved" else None
        running[strike] = slurm.start(runs[strike], *OPTIONS.get(strike, ()), "--", MODEL)
    for strike, run in runs.items():
        until((run / "results/checkpoints/sagefm/last.ckpt").exists)
        if strike == "cancelled":
            ask("scancel", jobs(run)[-1]["JobId"])
        elif strike == "killed":
            until((run / "holding").exists)
            os.kill(int((run / "holding").read_text()), signal.SIGKILL)
        elif strike == "late":
            ask("scontrol", "update", f"JobId={jobs(run)[-1]['JobId']}", "TimeLimit=1")
    for run in runs.values():
        until(lambda run=run: state(run) in DONE or len(jobs(run)) > 1)
        (run / "hold").unlink()
    for strike, run in runs.items():
        finish(running[strike], run)
        first, second = jobs(run)
        assert first["JobState"] in (STRIKES[strike], "OUT_OF_MEMORY"), (strike, first)
        assert second["JobState"] == "COMPLETED"
        memory = [int(job["MinMemoryNode"].removesuffix("M")) for job in (first, second)]
        assert memory[1] == 2 * memory[0]
        same(run, undisturbed)


def test_a_training_outlives_the_cluster_and_the_run(slurm, cohort, undisturbed, tmp_path):
    """Its node is drained, the controller restarted, Snakemake killed, the node lost; nothing is done twice."""
    run = held(cohort, tmp_path)
    ask("scontrol", "update", "NodeName=gpu1", "State=DRAIN", "Reason=test")
    running = slurm.start(run, "--", MODEL)
    until(lambda: state(run) == "PENDING")
    ask("scontrol", "update", "NodeName=gpu1", "State=RESUME")
    until((run / "results/checkpoints/sagefm/last.ckpt").exists)

    os.kill(int((slurm.folder / "slurmctld.pid").read_text()), signal.SIGTERM)
    until(lambda: not ask("scontrol", "ping").endswith("UP"))
    ask("slurmctld")
    until(lambda: state(run) == "RUNNING")
    assert len(jobs(run)) == 1 and running.poll() is None

    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    # What a killed Snakemake left in the queue is not its successor's: it would train beside it.
    ask("scancel", jobs(run)[0]["JobId"])
    until(lambda: state(run) == "CANCELLED")
    (run / "holding").unlink()
    assert snakemake(run, "--unlock").returncode == 0
    running = slurm.start(run, "--", MODEL)
    until(lambda: len(jobs(run)) == 2 and state(run) == "RUNNING")
    until((run / "holding").exists)

    process = int((run / "holding").read_text())
    ask("scontrol", "update", "NodeName=gpu1", "State=DOWN", "Reason=test")
    until(lambda: "NODE_FAIL" in [job["JobState"] for job in jobs(run)])
    os.kill(process, signal.SIGKILL)  # the node is lost in name only
    (run / "hold").unlink()
    ask("scontrol", "update", "NodeName=gpu1", "State=RESUME")
    finish(running, run)
    assert [job["JobState"] for job in jobs(run)] == ["CANCELLED", "NODE_FAIL", "COMPLETED"]
    same(run, undisturbed)


def test_the_device_is_in_what_the_training_wrote(slurm, cohort, tmp_path):
    """And a job that sees no GPU, where it was given one, does not train on the CPU."""
    run = tmp_path / "run"
    shutil.copytree(cohort, run)
    finish(slurm.start(run, "--", MODEL, profile="slurm-gres"), run)
    (job,) = jobs(run)
    assert job["Partition"] == "gpu" and "gres:gpu:1" in job["TresPerNode"]
    assert "made-up GPU" in (run / "results/models/sagefm/README.md").read_text()
    assert json.loads((run / "results/models/sagefm/config.json").read_text())["kind"] == "sagefm"
