"""How long and how fast a model trains: warm-up, cosine, clipping, validation and early stopping, as data."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Settings of one training run; presets of a model are instances of this class."""

    # Optimiser steps, one batch each (per process). No default: it is the preset's choice of cost.
    steps: int
    # AdamW's common peak for transformers below 100 M parameters with pre-norm.
    learning_rate: float = 1e-3
    # Share of the steps that climb to the peak: Adam's second moments are noise in the first ones.
    warmup: float = 0.05
    # Share of the peak that is left at the end; 0 would make the last steps do nothing.
    final: float = 0.05
    # Matrices only: biases, norms and embeddings are not pulled to 0 (a rare gene's row would vanish).
    weight_decay: float = 0.01
    # Largest norm of the gradient over all weights; a spot of odd depth must not throw the model off. 0: off.
    clip: float = 1.0
    # Steps between validations; each also writes a checkpoint, so this is what a kill can cost.
    validate_every: int = 100
    # Validations without a gain before training stops; 0: never, the cosine runs to its end.
    patience: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.validate_every < 1 or self.patience < 0 or self.clip < 0:
            raise ValueError(f"steps and validate_every are at least 1, patience and clip at least 0: {self}")
        if not (0 <= self.warmup < 1 and 0 <= self.final <= 1):
            raise ValueError(f"warmup and final are shares of 1: {self}")

    def share(self, step: int) -> float:
        """Share of the peak learning rate at optimiser step `step` (0-based)."""
        rising = max(round(self.warmup * self.steps), 1)
        if step < rising:
            return (step + 1) / rising
        progress = min((step - rising + 1) / max(self.steps - rising, 1), 1.0)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))
