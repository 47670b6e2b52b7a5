"""The loss curve of a training run, as plain columns: a row per validation, kept through kills."""

import math
from dataclasses import dataclass, field

COLUMNS = ("step", "train_loss", "valid_loss", "learning_rate", "seconds")


@dataclass
class Curve:
    """What a training run did.

    Attributes
    ----------
    columns
        ``step`` (optimiser steps done), ``train_loss`` (mean since the row before), ``valid_loss``,
        ``learning_rate`` (of the last step), ``seconds`` (of training so far, over all its pieces); then what
        the module watches besides (`Trainable.watched`).
    best_step
        Step whose weights the module holds; 0 before the first validation.
    seed, device, precision
        What it ran with; of the last piece where a killed run went on elsewhere.
    """

    seed: int
    device: str
    precision: str
    best_step: int = 0
    columns: dict[str, list] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def add(self, **row: float) -> bool:
        """Append a row; return whether its validation loss is the lowest so far."""
        best = row["valid_loss"] < self.best
        for name, value in row.items():
            self.columns.setdefault(name, []).append(value)
        if best:
            self.best_step = int(row["step"])
        return best

    @property
    def best(self) -> float:
        """Lowest validation loss so far; infinite before the first."""
        return min(self.columns["valid_loss"], default=math.inf)

    @property
    def step(self) -> int:
        """Optimiser steps done at the last row."""
        return int(self.columns["step"][-1]) if self.columns["step"] else 0

    @property
    def seconds(self) -> float:
        """Seconds of training and validation so far."""
        return float(self.columns["seconds"][-1]) if self.columns["seconds"] else 0.0

    @property
    def validations_without_gain(self) -> int:
        """Rows since the best one."""
        return sum(step > self.best_step for step in self.columns["step"])
