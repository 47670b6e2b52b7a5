"""The loop trains, stops, clips, and a killed run reaches the weights of an undisturbed one, to the bit."""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from models.toy_training import SCHEDULE, Regression, make_batch, regression, train
from tissuemake.device import given_device
from tissuemake.errors import InputError
from tissuemake.models.checkpoints import NAME, discard_checkpoints
from tissuemake.models.streams import StepStream
from tissuemake.models.trainable import decay_groups
from tissuemake.models.training import Schedule

SCRIPT = Path(__file__).with_name("toy_training.py")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
# A job step as Snakemake starts it: one task, whatever the number of GPUs.
JOB_STEP = {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train"}
JOB_STEP |= dict.fromkeys(("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"), "0")


@pytest.fixture(autouse=True)
def one_thread():
    """The bits of a sum depend on the number of threads; the scripts run with one as well."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    torch.set_num_threads(1)
    return train(tmp_path_factory.mktemp("undisturbed"))


def command(tmp_path: Path, **told: object) -> list[str]:
    settings = tmp_path / "settings.json"
    settings.write_text(
        json.dumps({"folder": str(tmp_path / "run"), "weights": str(tmp_path / "weights"), **told})
    )
    return [sys.executable, str(SCRIPT), str(settings)]


def script(tmp_path: Path, environment: dict | None = None, **told: object) -> subprocess.CompletedProcess:
    environment = {**ENVIRONMENT, **(environment or {})}
    return subprocess.run(
        command(tmp_path, **told), env=environment, text=True, capture_output=True, timeout=120
    )


def same(left: dict, right: dict) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def without_seconds(curve) -> dict:
    return {name: column for name, column in curve.columns.items() if name != "seconds"}


def test_schedule_climbs_to_the_peak_and_falls_to_its_end():
    schedule = Schedule(steps=200, warmup=0.1, final=0.2)
    shares = [schedule.share(step) for step in range(200)]
    assert shares[0] == pytest.approx(1 / 20) and shares[19] == 1 and max(shares) == 1
    assert shares[-1] == pytest.approx(0.2)
    assert all(a < b for a, b in pairwise(shares[:20]))
    assert all(a > b for a, b in pairwise(shares[19:]))
    half_way = (19 + 199) // 2
    assert shares[half_way] == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"validate_every": 0}, {"warmup": 1.0}, {"final": 2.0}, {"clip": -1.0}, {"patience": -1}],
)
def test_a_schedule_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError):
        Schedule(**{"steps": 10, **wrong})


class Untrainable(Regression):
    """A finished run must not train one step more."""

    def training_step(self, batch, index):
        raise AssertionError


Untrainable.__qualname__ = Regression.__qualname__


def test_training_learns_and_the_curve_says_how(undisturbed):
    module, curve = undisturbed
    assert not any(part.training for part in module.modules())
    assert curve.columns["step"] == [25, 50, 75, 100, 110]  # the end is validated though it is off the beat
    assert curve.columns["valid_loss"][-1] < 0.5 * curve.columns["valid_loss"][0]
    assert curve.columns["learning_rate"][-1] == pytest.approx(0.05 * SCHEDULE.learning_rate)
    assert curve.columns["seconds"] == sorted(curve.columns["seconds"])
    assert curve.best == curve.columns["valid_loss"][curve.columns["step"].index(curve.best_step)]
    assert (curve.seed, curve.precision) == (3, "32-true") and curve.device.startswith("cpu")


def test_a_killed_run_reaches_the_weights_of_an_undisturbed_one(tmp_path, undisturbed, capsys):
    module, curve = undisturbed
    killed = script(tmp_path, kill_at=103)
    assert killed.returncode == -signal.SIGKILL
    # The log holds a line per validation, and nothing that lightning wanted to say.
    assert [line.split()[1] for line in killed.stdout.splitlines()] == [f"{n}/110" for n in (25, 50, 75, 100)]
    assert killed.stderr == ""
    resumed, whole = train(tmp_path / "run")
    assert "Going on from step 100 of 110" in capsys.readouterr().out
    assert same(resumed.state_dict(), module.state_dict())
    assert without_seconds(whole) == without_seconds(curve)
    again, kept = train(tmp_path / "run", regression(Untrainable))
    assert kept == whole and same(again.state_dict(), module.state_dict())


def test_a_kill_while_the_checkpoint_is_written_leaves_the_former_one(tmp_path, undisturbed, capsys):
    assert script(tmp_path, kill_while_saving=True).returncode == -signal.SIGKILL
    assert [path.read_bytes() for path in (tmp_path / "run").glob(".*partial*")] == [b"half of a file"]
    resumed, _ = train(tmp_path / "run")
    assert "Going on from step 50 of 110" in capsys.readouterr().out
    assert same(resumed.state_dict(), undisturbed[0].state_dict())


def test_a_terminated_run_does_not_look_finished(tmp_path):
    process = subprocess.Popen(
        command(tmp_path, wait_at=60), env=ENVIRONMENT, text=True, stdout=subprocess.PIPE
    )
    for line in process.stdout:
        if "WAITING" in line:
            process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert (tmp_path / "run" / NAME).is_file() and not (tmp_path / "weights.0").exists()


def test_a_damaged_checkpoint_is_passed_over(tmp_path, undisturbed, capsys):
    train(tmp_path, schedule=SCHEDULE)
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(whole[: len(whole) // 2])
    module, _ = train(tmp_path)
    assert "is unreadable" in capsys.readouterr().out
    assert same(module.state_dict(), undisturbed[0].state_dict())


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap",)


def test_a_checkpoint_is_not_allowed_to_run_code(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save(Trap(), tmp_path / NAME)
    train(tmp_path, schedule=replace(SCHEDULE, steps=25))
    assert "is unreadable (UnpicklingError)" in capsys.readouterr().out
    assert not (tmp_path / "trap").exists()
    (tmp_path / NAME).write_bytes(pickle.dumps(Trap()))
    train(tmp_path, schedule=replace(SCHEDULE, steps=25))
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"seed": 4}, "seed"),
        ({"identity": {"reference": "def"}}, "identity.reference"),
        ({"schedule": replace(SCHEDULE, steps=50, clip=0.5)}, "schedule.clip"),
        ({"module": regression(width=8)}, "architecture"),
    ],
)
def test_a_checkpoint_of_another_run_is_passed_over_with_the_reason(tmp_path, changed, named, capsys):
    base = {"schedule": replace(SCHEDULE, steps=50), "identity": {"reference": "abc"}}
    train(tmp_path, **base)
    _, curve = train(tmp_path, **{**base, **changed})
    said = capsys.readouterr().out
    assert f"({named} differ)" in said and "Going on" not in said
    assert curve.columns["step"] == [25, 50]


class Valley(Regression):
    """Its validation loss is lowest at step 50, whatever it learns."""

    def __init__(self, width: int = 16) -> None:
        super().__init__(width)
        self.seen: dict[int, dict] = {}

    def validation_step(self, batch, index):
        self.seen[self.step] = {name: value.clone() for name, value in self.state_dict().items()}
        self.log("valid_loss", float(abs(self.step - 50)), batch_size=1)


@pytest.mark.parametrize(("patience", "steps"), [(2, [25, 50, 75, 100]), (0, [25, 50, 75, 100, 110])])
def test_early_stopping_stops_and_keeps_the_best(tmp_path, patience, steps):
    module, curve = train(tmp_path, regression(Valley), replace(SCHEDULE, patience=patience))
    assert curve.columns["step"] == steps and curve.best_step == 50
    assert same(module.state_dict(), module.seen[50])
    assert not same(module.seen[50], module.seen[75])
    again, kept = train(tmp_path, regression(Valley), replace(SCHEDULE, patience=patience))
    assert kept.columns == curve.columns and not again.seen  # stopped stays stopped


class Steep(Regression):
    def training_step(self, batch, index):
        return 1e4 * self.loss(batch)

    def configure_gradient_clipping(self, *args, **kwargs):
        super().configure_gradient_clipping(*args, **kwargs)
        self.norms.append(nn.utils.get_total_norm([value.grad for value in self.parameters()]).item())


@pytest.mark.parametrize(("clip", "expected"), [(1.0, (0.99, 1.001)), (0.0, (100.0, 1e9))])
def test_gradients_are_clipped(tmp_path, clip, expected):
    module = regression(Steep)
    module.norms = []
    train(tmp_path, module, replace(SCHEDULE, steps=25, clip=clip))
    assert len(module.norms) == 25
    assert expected[0] < min(module.norms) and max(module.norms) < expected[1]


def test_biases_norms_embeddings_and_named_parameters_do_not_decay():
    module = nn.ModuleDict(
        {
            "linear": nn.Linear(3, 4),
            "norm": nn.LayerNorm(4),
            "genes": nn.Embedding(5, 4),
            "frozen": nn.Linear(4, 4),
        }
    )
    module.query = nn.Parameter(torch.zeros(2, 4))
    module["frozen"].requires_grad_(False)
    decayed, plain = decay_groups(module, 0.1, ("query",))
    assert [tuple(value.shape) for value in decayed["params"]] == [(4, 3)] and decayed["weight_decay"] == 0.1
    assert len(plain["params"]) == 5 and plain["weight_decay"] == 0


def test_batches_made_by_workers_are_the_same(tmp_path):
    schedule = replace(SCHEDULE, steps=25)
    alone, _ = train(tmp_path / "0", schedule=schedule)
    helped, _ = train(tmp_path / "2", schedule=schedule, stream=StepStream(make_batch, workers=2))
    assert same(alone.state_dict(), helped.state_dict())


class Exploding(Regression):
    def training_step(self, batch, index):
        return self.loss(batch) * (float("nan") if self.step == 30 else 1)


def test_a_loss_that_is_not_finite_is_an_error_and_no_checkpoint(tmp_path):
    with pytest.raises(InputError) as caught:
        train(tmp_path, regression(Exploding))
    assert caught.value.code == "training_diverged" and "step 50" in caught.value.message
    assert torch.load(tmp_path / NAME, weights_only=True)["columns"]["step"] == [25]


def test_bfloat16_trains_and_is_recorded(tmp_path):
    device = replace(given_device(0), precision="bf16-mixed")
    module, curve = train(tmp_path, schedule=replace(SCHEDULE, steps=50), device=device)
    assert curve.precision == "bf16-mixed" and curve.columns["valid_loss"][1] < curve.columns["valid_loss"][0]
    assert module.net[0].weight.dtype == torch.float32


def test_finished_training_is_cleared_away_by_the_caller(tmp_path):
    train(tmp_path / "run", schedule=replace(SCHEDULE, steps=25))
    discard_checkpoints(tmp_path / "run")
    discard_checkpoints(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_two_processes_train_one_model_also_in_a_job_step_of_one_task(tmp_path, undisturbed):
    started = time.perf_counter()
    ran = script(tmp_path, JOB_STEP, processes=2)
    assert ran.returncode == 0, ran.stderr
    first, second = (load_file(f"{tmp_path / 'weights'}.{rank}") for rank in (0, 1))
    assert same(first, second)
    assert not same(first, undisturbed[0].state_dict())  # the other half of the batches did something
    losses = torch.load(tmp_path / "run" / NAME, weights_only=True)["columns"]["valid_loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert len(ran.stdout.splitlines()) == 5 and ran.stderr == ""  # one process speaks
    assert time.perf_counter() - started < 240  # processes that wait for each other do so for half an hour


def test_two_nodes_train_one_model_where_srun_started_a_task_on_each(tmp_path, undisturbed):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": "2", "SLURM_LOCALID": "0"}
    shared |= {"SLURM_JOB_NAME": "train", "SLURM_NODELIST": "127.0.0.1", "MASTER_PORT": port}
    started = [
        subprocess.Popen(
            command(tmp_path, nodes=2),
            env=ENVIRONMENT | shared | {"SLURM_PROCID": node, "SLURM_NODEID": node},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for node in ("0", "1")
    ]
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    first, second = (load_file(f"{tmp_path / 'weights'}.{rank}") for rank in (0, 1))
    assert same(first, second)
    assert not same(first, undisturbed[0].state_dict())
    assert len(said[0][0].splitlines()) == 5 and said[1][0] == ""  # one process speaks, and writes
