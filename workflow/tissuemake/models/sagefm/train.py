"""Teach the network to predict what is hidden of a spot; and what the network starts from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tissuemake.device import Device
from tissuemake.models.curve import Curve
from tissuemake.models.sagefm.architecture import Masking, Preset
from tissuemake.models.sagefm.lessons import Lesson, Pupil, draw_lesson
from tissuemake.models.sagefm.reading import Loadings
from tissuemake.models.sagefm.section import Section
from tissuemake.models.streams import StepStream, step_seed
from tissuemake.models.trainable import Trainable
from tissuemake.models.training import fit

# Spots from which the loadings are computed, over all sections; (spots, genes) is dense.
MOST_SPOTS = 8000
EXAM_BATCH = 128


def scaled_error(said: Tensor, lesson: Lesson, gene_weight: Tensor) -> Tensor:
    """Mean squared error of the hidden genes, in units of each gene's variance in training, weighted."""
    asked = lesson.asked * gene_weight
    return ((said - lesson.target).square() * asked).sum() / asked.sum().clamp(min=1)


class Teacher(Trainable):
    """A network with the loss that `fit` lowers."""

    undecayed = ("ring", "slope")
    keeps = "last"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, lesson: Lesson, index: int) -> Tensor:
        return scaled_error(self.network(lesson), lesson, self.network.gene_weight)

    def validation_step(self, lesson: Lesson, index: int) -> None:
        loss = scaled_error(self.network(lesson), lesson, self.network.gene_weight)
        self.log("valid_loss", loss, batch_size=len(lesson.own))


def log_statistics(sections: Sequence[Section]) -> tuple[np.ndarray, np.ndarray]:
    """Mean, and deviation within sections, of log1p CP10k over the sections that measured a gene, float32 (V,)."""
    genes = sections[0].counts.shape[1]
    count, total, spread = np.zeros(genes), np.zeros(genes), np.zeros(genes)
    for section in sections:
        values = section.log_values()
        mean = np.asarray(values.mean(axis=0), dtype=np.float64).ravel()
        square = np.asarray(values.multiply(values).mean(axis=0), dtype=np.float64).ravel()
        count += len(section) * section.measured
        total += len(section) * mean
        spread += len(section) * np.maximum(square - mean**2, 0)
    count = np.maximum(count, 1)
    return (total / count).astype(np.float32), np.maximum(np.sqrt(spread / count), 1e-3).astype(np.float32)


def principal_loadings(sections: Sequence[Section], size: int, seed: int) -> Loadings:
    """Return principal directions of the Pearson residuals of all sections, with the variance beyond noise.

    A gene that a section did not measure is 0 there: the mean of residuals.
    """
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(seed)
    share = min(1.0, MOST_SPOTS / sum(len(section) for section in sections))
    blocks = []
    for section in sections:
        rows = np.sort(rng.permutation(len(section))[: max(1, round(share * len(section)))])
        blocks.append(section.residuals(rows, section.rates()))
    values = np.concatenate(blocks)
    size = max(1, min(size, min(values.shape) - 1))
    found = PCA(size, svd_solver="randomized", random_state=seed).fit(values)
    rest = float(values.var(axis=0, dtype=np.float64).sum() - found.explained_variance_.sum())
    noise = max(rest / max(values.shape[1] - size, 1), 1e-6)
    variance = np.maximum(found.explained_variance_ / noise - 1, 1e-2)
    directions = torch.from_numpy(found.components_.T.astype(np.float32))
    return Loadings(directions, torch.from_numpy(variance.astype(np.float32)))


def train_network(
    network: nn.Module,
    pupils: Sequence[Pupil],
    taught: Sequence[np.ndarray],
    examined: Sequence[np.ndarray],
    preset: Preset,
    *,
    checkpoints: Path,
    device: Device,
    seed: int,
    identity: Mapping[str, object] | None = None,
    progress: bool = True,
) -> Curve:
    """Teach `network` on the spots `taught` of each section; those `examined` are only scored.

    Sections take turns by their number of taught spots.
    """
    weight = np.array([len(spots) for spots in taught], dtype=float)
    weight /= weight.sum()

    def lesson(step: int, generator: torch.Generator) -> Lesson:
        drawn = generator.initial_seed()
        number = int(np.random.default_rng(drawn).choice(len(pupils), p=weight))
        return draw_lesson(pupils[number], taught[number], preset.batch, preset.masking, drawn)

    exam = list(_exam(pupils, examined, preset.masking, preset.valid_spots, seed))
    return fit(
        Teacher(network),
        StepStream(lesson),
        exam,
        preset.schedule,
        checkpoints=checkpoints,
        device=device,
        seed=seed,
        identity=identity,
        progress=progress,
    )


def _exam(pupils: Sequence[Pupil], examined: Sequence[np.ndarray], masking: Masking, most: int, seed: int):
    """The same hidden genes at each validation, from all examined sections."""
    each = max(1, most // max(sum(len(spots) > 0 for spots in examined), 1))
    for number, (pupil, spots) in enumerate(zip(pupils, examined, strict=True)):
        rng = np.random.default_rng(step_seed("exam", seed, number, 0))
        chosen = np.sort(rng.permutation(spots)[:each])
        for start in range(0, len(chosen), EXAM_BATCH):
            block = chosen[start : start + EXAM_BATCH]
            hidden = rng.random((len(block), len(pupil.sd))) < masking.part
            yield pupil.lesson(block, hidden)
