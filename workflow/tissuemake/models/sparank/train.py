"""Pretraining on simulated sections, types left out at random; then intervals are fitted on held-out donors."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Generator, Tensor

from tissuemake.device import Device
from tissuemake.models.curve import Curve
from tissuemake.models.sparank.architecture import Preset
from tissuemake.models.sparank.lessons import Lesson, Lessons
from tissuemake.models.sparank.model import Composition, Reference, SpaRank
from tissuemake.models.streams import StepStream, step_seed
from tissuemake.models.trainable import Trainable
from tissuemake.models.training import fit
from tissuemake.reference.mixtures import Cells, Mixtures

VALIDATION_SECTIONS = 8


class Tutor(Trainable):
    """The network as `fit` trains it."""

    undecayed = ("trust", "floor", "rarity")

    def __init__(self, network: SpaRank) -> None:
        super().__init__()
        self.network = network

    @property
    def keeps(self) -> str:
        """The best weights only of a training that may stop early.

        Few validations on few held-out cells differ by chance: a short training's best, by .002, was its first, which
        could not tell an unknown type (AUROC .81, of the last weights .93).
        """
        return "best" if self.schedule.patience else "last"

    def training_step(self, lesson: Lesson, index: int) -> Tensor:
        jitter = Generator(lesson.target.device).manual_seed(lesson.ties)
        return self._loss(lesson, jitter)

    def validation_step(self, lesson: Lesson, index: int) -> None:
        self.log("valid_loss", self._loss(lesson, None), batch_size=len(lesson.target))

    def _loss(self, lesson: Lesson, jitter: Generator | None) -> Tensor:
        section = lesson.section
        said = self.network(section.counts, section.measured, lesson.reference, jitter=jitter)
        return divergence(said, lesson.target) + 0.1 * spread_loss(said, lesson.target)


def divergence(said: Composition, target: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence of `said` from `target`, nats per spot: its minimum is the posterior mean."""
    target_log = torch.log(target.clamp_min(1e-9))
    return (target * (target_log - torch.log(said.mean.clamp_min(1e-9)))).sum(1).mean()


def spread_loss(said: Composition, target: Tensor) -> Tensor:
    """Fit the concentration to the squared error that a Dirichlet of it would have (the mean is not moved)."""
    mean = said.mean.detach()
    error = ((target - mean) ** 2).sum(1).clamp_min(1e-5)
    expected = (1 - (mean**2).sum(1)).clamp_min(1e-5) / (said.concentration + 1)
    return (error / expected + torch.log(expected)).mean()


def train_network(
    cells: Cells,
    held_out: Cells,
    reference: Reference,
    examined: Reference,
    preset: Preset,
    *,
    checkpoints: Path,
    device: Device,
    seed: int,
    identity: Mapping[str, object] | None = None,
    progress: bool = True,
) -> tuple[SpaRank, Curve]:
    """Train a network on sections simulated from `cells`; the curve is also that of sections of `held_out` cells.

    Parameters
    ----------
    reference, examined
        Signatures, of training cells only, of the types of `cells` and of those of `held_out`.

    Returns
    -------
    network
        On the CPU, in evaluation mode; the weights are those of `Tutor.keeps`.
    curve
        As `models.training.fit`.
    """
    torch.manual_seed(step_seed("network", seed, 0, 0))
    genes, types = reference.signature.shape
    tutor = Tutor(SpaRank(preset.architecture, genes, types))
    lessons = Lessons(Mixtures(cells), reference, preset.spots)
    curve = fit(
        tutor,
        StepStream(lessons),
        exam(held_out, examined, preset.spots, seed),
        preset.schedule,
        checkpoints=checkpoints,
        device=device,
        seed=seed,
        identity={"preset": preset, **(identity or {})},
        progress=progress,
    )
    return tutor.network.eval(), curve


def exam(
    held_out: Cells,
    reference: Reference,
    spots: int,
    seed: int,
    sections: int = VALIDATION_SECTIONS,
) -> list[Lesson]:
    """Lessons of cells that never made a training spot, the same for every call with the same `seed`."""
    lessons = Lessons(Mixtures(held_out), reference, spots, virtual=0.0)
    generator = Generator(held_out.counts.device)
    return [
        lessons(step, generator.manual_seed(step_seed("exam", seed, step, 0))) for step in range(sections)
    ]
