"""Training the image gate without truth: the model's own answer at full depth teaches it what to say of thin counts.

The model of counts is frozen. A spot of the pretraining cohort is thinned to a random depth and a random panel; what
counts and tile together say of it is held against what the model says of all its counts. So the gate learns how far
counts of a depth can be trusted, and the image what tissue looks like; no composition is needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from tissuemake.device import Device
from tissuemake.errors import InputError
from tissuemake.models.curve import Curve
from tissuemake.models.schedule import Schedule
from tissuemake.models.sparank.fusion import Deconvolver, ImageGate
from tissuemake.models.streams import StepStream, step_seed
from tissuemake.models.trainable import Trainable
from tissuemake.models.training import fit

ENCODED_AT_ONCE = 256
VALIDATION_BATCHES = 8


@dataclass(frozen=True)
class Section:
    """A section with an image, of the pretraining cohort.

    Parameters
    ----------
    donor
        Whole donors are held out to stop training in time.
    counts
        (spots, genes) raw counts in the order of the model's vocabulary, any numeric type.
    measured
        (genes,) bool, which genes the assay measures.
    images
        (spots, features) embedding of each spot's tile.
    """

    donor: str
    counts: Tensor
    measured: Tensor
    images: Tensor


@dataclass(frozen=True)
class Distillation:
    """How thin spots are made and how the gate is taught."""

    batch: int = 128
    # Counts that a spot is thinned to, log-uniform from here to all it has.
    least_depth: float = 50.0
    # Share of the spots that keep all counts: there the gate must learn to leave well alone.
    whole: float = 0.15
    # Share of the batches that keep a panel only, and the fewest genes of one.
    panels: float = 0.3
    least_panel: int = 100
    # Share of the spots of which the counts are hidden, so that the image learns to stand alone. To hide the image
    # teaches nothing: the gate is then 1 and nothing that is trained takes part.
    hidden_counts: float = 0.3
    # Noise on standardised features, of each tile and of all tiles of a batch alike: stainings differ.
    tile_noise: float = 0.1
    staining_noise: float = 0.2
    schedule: Schedule = field(
        default_factory=lambda: Schedule(steps=400, learning_rate=2e-3, weight_decay=0.05, validate_every=50)
    )


@dataclass(frozen=True)
class Batch:
    """Spots as the gate sees them, and what it is to say."""

    z: Tensor
    depth: Tensor
    images: Tensor
    hidden: Tensor
    target: Tensor


@dataclass(frozen=True)
class _Cohort:
    """Spots of several sections in one, with the full-depth answer of each."""

    counts: Tensor
    measured: Tensor
    images: Tensor
    target: Tensor


class _Lesson(Trainable):
    """The gate as `fit` trains it; the model of counts is not registered, so that nothing of it is kept or moved."""

    def __init__(self, gate: ImageGate, model: Deconvolver) -> None:
        super().__init__()
        self.gate = gate
        self._frozen = (model,)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        return self._loss(batch)

    def validation_step(self, batch: Batch, index: int) -> None:
        self.log("valid_loss", self._loss(batch), batch_size=len(batch.depth))

    def _loss(self, batch: Batch) -> Tensor:
        """Mean Kullback-Leibler divergence of the fused answer from the full-depth one, nats per spot."""
        gate = self.gate
        z_image = gate.project(batch.images)
        weight = torch.where(batch.hidden, 0.0, gate.gate(batch.z, z_image, batch.depth))
        said = self._frozen[0].head(gate.mix(batch.z, z_image, weight)).mean.clamp_min(1e-6)
        target = batch.target.clamp_min(1e-6)
        return (batch.target * (target.log() - said.log())).sum(dim=1).mean()


def train_gate(
    model: Deconvolver,
    sections: Sequence[Section],
    *,
    plan: Distillation | None = None,
    checkpoints: Path,
    device: Device,
    seed: int,
    identity: Mapping[str, object] | None = None,
    progress: bool = True,
) -> tuple[ImageGate, Curve]:
    """Teach a gate on `sections` by the answers of `model`, whose weights do not change.

    One donor in five, at least one, is held out to choose the weights; of a single donor, one spot in five.

    Returns
    -------
    gate
        On the CPU, in evaluation mode.
    curve
        As `models.training.fit`.

    Raises
    ------
    InputError
        ``no_sections`` when there is no spot with an image.
    """
    plan = plan or Distillation()
    torch.manual_seed(step_seed("gate", seed, 0, 0))
    with _frozen(model, device):
        cohort = _pooled(model, sections)
        train, valid = _held_out(sections, seed)
        width = model.encode(cohort.counts[:1].to(_place(model)), cohort.measured[:1].to(_place(model))).shape[1]
        gate = ImageGate(width, cohort.images.shape[1])
        gate.standardise_by(cohort.images[train])
        make = _Maker(model, gate, cohort, train, plan)
        curve = fit(
            _Lesson(gate, model),
            StepStream(make),
            _validation(_Maker(model, gate, cohort, valid, plan, noise=False), seed),
            plan.schedule,
            checkpoints=checkpoints,
            device=device,
            seed=seed,
            identity={"plan": plan, **(identity or {})},
            progress=progress,
        )
    return gate.eval(), curve
