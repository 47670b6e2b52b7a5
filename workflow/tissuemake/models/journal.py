"""The lightning callback that makes training resumable: seeds, curve, best weights, checkpoint, early stop."""

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer

from tissuemake.device import Device
from tissuemake.errors import InputError
from tissuemake.models.checkpoints import read_checkpoint, write_checkpoint
from tissuemake.models.curve import COLUMNS, Curve
from tissuemake.models.schedule import Schedule
from tissuemake.models.streams import step_seed
from tissuemake.models.trainable import Trainable


class Journal(Callback):
    """Seeds each step, keeps the curve and the best weights, writes the checkpoint and says when to stop."""

    def __init__(
        self, schedule: Schedule, seed: int, device: Device, settings: dict, folder: Path, progress: bool
    ) -> None:
        self.schedule, self.seed, self.device, self.settings = schedule, seed, device, settings
        self.folder, self.progress = folder, progress
        self.curve = Curve(seed, device.name, device.precision)
        self.best: dict[str, torch.Tensor] = {}

    def take_up(self, module: Trainable) -> None:
        """Bring `module` to the state of the checkpoint, if there is one of this run."""
        module.schedule = self.schedule
        saved = read_checkpoint(self.folder, self.settings)
        if saved is None:
            module._done, module._optimizer_state = 0, None
            return
        self.curve.columns, self.curve.best_step = saved["columns"], saved["best_step"]
        self.best = saved["best"]
        module.load_state_dict(saved["module"])
        module._done, module._optimizer_state = self.curve.step, saved["optimizer"]
        print(f"Going on from step {self.curve.step} of {self.schedule.steps} ({self.folder}).", flush=True)

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or validation stopped gaining."""
        patience = self.schedule.patience
        stalled = bool(patience) and self.curve.validations_without_gain >= patience
        return stalled or self.curve.step >= self.schedule.steps

    def on_train_start(self, trainer: Trainer, module: Trainable) -> None:
        self._begun = time.perf_counter() - self.curve.seconds
        self._losses, self._batches = torch.zeros((), device=module.device), 0

    def on_train_batch_start(self, trainer: Trainer, module: Trainable, batch: object, index: int) -> None:
        # Dropout's stream is derived, not stored: it resumes on any device and any number of processes.
        # torch.manual_seed would also queue a call, with its stack, for each kind of device never used: 3 ms a step.
        seed = step_seed("step", self.seed, module.step, trainer.global_rank)
        torch.default_generator.manual_seed(seed)
        if module.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def on_train_batch_end(
        self, trainer: Trainer, module: Trainable, outputs: object, batch: object, index: int
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        self._losses += loss.detach()
        self._batches += 1
        if module.step >= self.schedule.steps:
            trainer.should_stop = True  # has lightning validate once more, also off the beat

    def on_validation_end(self, trainer: Trainer, module: Trainable) -> None:
        watched = [_logged(trainer, name).to(self._losses) for name in ("valid_loss", *module.watched)]
        means = torch.stack([self._losses / self._batches, *watched])
        # Means over the processes: all must come to the same decision.
        train_loss, valid_loss, *others = trainer.strategy.reduce(means, reduce_op="mean").tolist()
        self._losses.zero_()
        self._batches = 0
        if not (math.isfinite(train_loss) and math.isfinite(valid_loss)):
            raise InputError(
                "training_diverged",
                f"At step {module.step} the training loss is {train_loss} and the validation loss {valid_loss}.",
                "Lower the learning rate of the preset, or lengthen its warm-up.",
            )
        gained = self.curve.add(
            step=module.step,
            train_loss=train_loss,
            valid_loss=valid_loss,
            learning_rate=self.schedule.learning_rate * self.schedule.share(module.step - 1),
            seconds=time.perf_counter() - self._begun,
            **dict(zip(module.watched, others, strict=True)),
        )
        module.examine(self.curve.columns)
        if module.keeps == "last":
            self.curve.best_step, gained = module.step, True
        if gained:
            self.best = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
        trainer.should_stop = self.finished
        if trainer.is_global_zero:
            write_checkpoint(self.folder, self._content(trainer, module))
            if self.progress and not sys.stderr.isatty():
                self._say(gained, module.watched)

    def _content(self, trainer: Trainer, module: Trainable) -> dict:
        return {
            "settings": self.settings,
            "module": module.state_dict(),
            "optimizer": trainer.optimizers[0].state_dict()["state"],
            "columns": self.curve.columns,
            "best_step": self.curve.best_step,
            "best": self.best,
        }

    def _say(self, gained: bool, watched: tuple[str, ...]) -> None:
        row = {name: self.curve.columns[name][-1] for name in (*COLUMNS, *watched)}
        left = row["seconds"] / row["step"] * (self.schedule.steps - row["step"])
        print(
            f"step {row['step']}/{self.schedule.steps}  train {row['train_loss']:.5g}  "
            f"valid {row['valid_loss']:.5g}{' (kept)' if gained else ''}  "
            f"{''.join(f'{name} {row[name]:.4g}  ' for name in watched)}"
            f"rate {row['learning_rate']:.2g}  {row['seconds']:.0f} s, {left:.0f} s to go",
            flush=True,
        )


def _logged(trainer: Trainer, name: str) -> torch.Tensor:
    if name not in trainer.callback_metrics:
        raise KeyError(f"validation must log '{name}'")
    return trainer.callback_metrics[name]
