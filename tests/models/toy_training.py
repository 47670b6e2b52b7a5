"""A small regression to train; as a script, one run of it that can be killed on the way.

``python toy_training.py SETTINGS.json``: folder, weights (where they are written as safetensors) and optional
kill_at, kill_while_saving, processes, nodes.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from tissuemake.device import Device, given_device
from tissuemake.models.training import Schedule, StepStream, Trainable, fit

SCHEDULE = Schedule(steps=110, validate_every=25, learning_rate=0.02)


class Regression(Trainable):
    """Learns the first feature; dropout, so that chance in the module counts as well."""

    kill_at = -1
    wait_at = -1

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(8, width), nn.LayerNorm(width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 1)
        )

    def loss(self, batch):
        features, target = batch
        return nn.functional.mse_loss(self.net(features), target)

    def training_step(self, batch, index):
        if self.step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.step == self.wait_at:
            print("WAITING", flush=True)
            time.sleep(1)
        return self.loss(batch)

    def validation_step(self, batch, index):
        self.log("valid_loss", self.loss(batch), batch_size=len(batch[0]))


def make_batch(step: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.randn(32, 8, generator=generator)
    return features, 2 * features[:, :1]


def held_out() -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [make_batch(0, torch.Generator().manual_seed(seed)) for seed in (1, 2)]


def regression(cls: type = Regression, width: int = 16) -> Regression:
    torch.manual_seed(0)
    return cls(width)


def train(folder: Path, module: Regression | None = None, schedule: Schedule = SCHEDULE, **changed):
    """Train a regression with the settings that all tests share, but for `changed`."""
    module = module or regression()
    settings = {"seed": 3, "device": given_device(0), **changed}
    stream = settings.pop("stream", StepStream(make_batch))
    return module, fit(module, stream, held_out(), schedule, checkpoints=folder, **settings)


def die_while_saving(content: dict, path: Path) -> None:
    if content["columns"]["step"][-1] == 75:
        Path(path).write_bytes(b"half of a file")
        os.kill(os.getpid(), signal.SIGKILL)
    SAVE(content, path)


SAVE = torch.save

if __name__ == "__main__":
    told = json.loads(Path(sys.argv[1]).read_text())
    module = regression()
    module.kill_at, module.wait_at = told.get("kill_at", -1), told.get("wait_at", -1)
    if told.get("kill_while_saving"):
        torch.save = die_while_saving
    processes, nodes = told.get("processes", 1), told.get("nodes", 1)
    rank = 0
    try:
        train(Path(told["folder"]), module, device=Device("cpu", processes, "cpu", "32-true", nodes))
    except SystemExit as left:
        if processes * nodes == 1 or left.code:
            raise
        rank = module.global_rank
    save_file(module.state_dict(), f"{told['weights']}.{rank}")
