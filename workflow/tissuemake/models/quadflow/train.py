"""Teach the network the scores of slides; spots of blocks that are kept back are shown and not taught."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tissuemake.device import Device
from tissuemake.models.curve import Curve
from tissuemake.models.quadflow.architecture import Preset, Weights
from tissuemake.models.quadflow.losses import correlation_loss, roughness
from tissuemake.models.quadflow.neighbors import Around
from tissuemake.models.quadflow.network import QuadflowNetwork, View
from tissuemake.models.streams import StepStream
from tissuemake.models.trainable import Trainable
from tissuemake.models.training import fit


@dataclass(frozen=True)
class Pupil:
    """A slide to learn from: what is seen, and the targets in units of deviations within slides.

    Attributes
    ----------
    scores
        float32 (n, P).
    genes
        float32 (n, G).
    taught
        bool (n,); others are only examined.
    """

    view: View
    scores: Tensor
    genes: Tensor
    taught: Tensor


class Lesson(NamedTuple):
    """A window of a slide, and targets of those of its patches, `asked` (m,), that count."""

    view: View
    asked: Tensor
    scores: Tensor
    genes: Tensor


class Teacher(Trainable):
    """The network with the loss that `fit` lowers."""

    keeps = "last"
    undecayed = ("pathways",)

    def __init__(self, network: QuadflowNetwork, gene_weights: Tensor, weights: Weights) -> None:
        super().__init__()
        self.network, self.weights = network, weights
        self.register_buffer("gene_weights", gene_weights)

    def transfer_batch_to_device(self, lesson: Lesson, device: torch.device, index: int) -> Lesson:
        view, *rest = lesson
        return Lesson(view.to(device), *(part.to(device) for part in rest))

    def loss(self, lesson: Lesson) -> Tensor:
        """Squared error, correlation within the slide, smoothness, and genes through the bottleneck."""
        weights, said = self.weights, self.network(lesson.view)
        asked = said[lesson.asked]
        truth = lesson.scores
        loss = (asked - truth).square().mean()
        if weights.correlation:
            loss = loss + weights.correlation * correlation_loss(asked, truth)
        if weights.smoothness and lesson.view.around is not None:
            loss = loss + weights.smoothness * roughness(said, lesson.view.around)
        if weights.genes and self.gene_weights.numel():
            genes = asked @ self.gene_weights
            loss = loss + weights.genes * (genes - lesson.genes).square().mean()
        return loss

    def training_step(self, lesson: Lesson, index: int) -> Tensor:
        return self.loss(lesson)

    def validation_step(self, lesson: Lesson, index: int) -> None:
        self.log("valid_loss", self.loss(lesson), batch_size=len(lesson.asked))


def train_network(
    network: QuadflowNetwork,
    pupils: Sequence[Pupil],
    gene_weights: Tensor,
    preset: Preset,
    *,
    checkpoints: Path,
    device: Device,
    seed: int,
    identity: Mapping[str, object] | None = None,
    progress: bool = True,
) -> Curve:
    """Teach `network`; slides take turns by their number of taught spots, large ones by windows."""
    share = np.array([int(pupil.taught.sum()) for pupil in pupils], dtype=float)
    share /= share.sum()

    def lesson(step: int, generator: torch.Generator) -> Lesson:
        rng = np.random.default_rng(generator.initial_seed())
        pupil = pupils[int(rng.choice(len(pupils), p=share))]
        chosen = window(pupil, pupil.taught, preset.patches, rng)
        return Lesson(turned(chosen.view, rng), *chosen[1:])

    rng = np.random.default_rng(seed)
    exam = [window(pupil, ~pupil.taught, preset.patches, rng) for pupil in pupils if not pupil.taught.all()]
    return fit(
        Teacher(network, gene_weights, preset.weights),
        StepStream(lesson),
        exam,
        preset.schedule,
        checkpoints=checkpoints,
        device=device,
        seed=seed,
        identity=identity,
        progress=progress,
    )


def window(pupil: Pupil, counts: Tensor, most: int, rng: np.random.Generator) -> Lesson:
    """The slide, or of a large one the `most` patches around one of those that count; `counts` is bool (n,)."""
    view, targets = pupil.view, torch.nonzero(counts)[:, 0]
    if len(view.features) <= most:
        return Lesson(view, targets, pupil.scores[targets], pupil.genes[targets])
    centre = targets[int(rng.integers(len(targets)))]
    away = (view.positions_um - view.positions_um[centre]).square().sum(dim=1)
    rows = torch.topk(away, most, largest=False).indices.sort().values
    part = View(view.features[rows], view.positions_um[rows], _within(view.around, rows))
    asked = torch.nonzero(counts[rows])[:, 0]
    return Lesson(part, asked, pupil.scores[rows[asked]], pupil.genes[rows[asked]])


def _within(around: Around | None, rows: Tensor) -> Around | None:
    """The graph among `rows`; who leaves the window is no neighbour."""
    if around is None:
        return None
    index = around.index[rows]
    place = torch.searchsorted(rows, index.clamp(min=0)).clamp(max=len(rows) - 1)
    return Around(torch.where((index >= 0) & (rows[place] == index), place, -1), around.offset_um[rows])


def turned(view: View, rng: np.random.Generator) -> View:
    """The slide as it might have been put down: turned, mirrored and moved at random."""
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * [
        1,
        rng.choice([-1, 1]),
    ]
    turn = torch.from_numpy(turn.astype(np.float32))
    moved = torch.from_numpy(rng.uniform(-4000, 4000, 2).astype(np.float32))
    near = None if view.around is None else Around(view.around.index, view.around.offset_um @ turn)
    return View(view.features, view.positions_um @ turn + moved, near)
