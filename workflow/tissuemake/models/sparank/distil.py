"""Training the image gate without truth: the model's own answer at full depth teaches it what to say of thin counts.

The model of counts is frozen. A spot of the pretraining cohort is thinned to a random depth and a random panel; what
counts and tile together say of it is held against what the model says of all its counts. So the gate learns how far
counts of a depth can be trusted, and the image what tissue looks like; no composition is needed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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


@dataclass  # not frozen: lightning moves its fields to the device
class Batch:
    """Spots as the gate sees them, and what it is to say; `images` are standardised."""

    z: Tensor
    depth: Tensor
    panel: Tensor
    images: Tensor
    hidden: Tensor
    target: Tensor


@dataclass(frozen=True)
class _Cohort:
    """Spots of several sections in one, with the full-depth answer of each; `measured` has a row per section."""

    counts: Tensor
    section: Tensor
    measured: Tensor
    images: Tensor
    target: Tensor

    def genes_of(self, spots: Tensor | slice) -> Tensor:
        """Mask (spots, genes) of what was measured of each spot."""
        return self.measured[self.section[spots]]


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
        weight = torch.where(batch.hidden, 0.0, gate.gate(batch.z, z_image, batch.depth, batch.panel))
        said = self._frozen[0].head(gate.mix(batch.z, z_image, weight)).mean.float().clamp_min(1e-6)
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
    if not any(len(section.counts) for section in sections):
        raise InputError(
            "no_sections",
            "No section of the pretraining cohort has a spot with an image.",
            "Mark samples with an H&E image as 'pretrain', or set models: sparank: images to \"\".",
        )
    device = replace(device, count=1)  # the gate is small: what waits is the frozen model
    torch.manual_seed(step_seed("gate", seed, 0, 0))
    with _frozen(model, device):
        cohort = _pooled(model, sections)
        valid = _held_out([section.donor for section in sections for _ in section.counts], seed)
        train, valid = (~valid).nonzero()[:, 0], valid.nonzero()[:, 0]
        gate = ImageGate(
            _encoded(model, cohort.counts[:1], cohort.genes_of(slice(1))).shape[1], cohort.images.shape[1]
        )
        gate.standardise_by(cohort.images[train])
        cohort = replace(cohort, images=gate.standardised(cohort.images))
        curve = fit(
            _Lesson(gate, model),
            StepStream(_Maker(model, cohort, train, plan)),
            _validation(
                _Maker(model, cohort, valid, replace(plan, tile_noise=0.0, staining_noise=0.0)), seed
            ),
            plan.schedule,
            checkpoints=checkpoints,
            device=device,
            seed=seed,
            identity={"plan": plan, **(identity or {})},
            progress=progress,
        )
    return gate.eval(), curve


@dataclass(frozen=True)
class _Maker:
    """Makes batches of the chosen `spots` of a cohort, a function of the generator alone."""

    model: Deconvolver
    cohort: _Cohort
    spots: Tensor
    plan: Distillation

    def __call__(self, step: int, generator: torch.Generator) -> Batch:
        plan, size = self.plan, min(self.plan.batch, len(self.spots))
        chosen = self.spots[torch.randperm(len(self.spots), generator=generator)[:size]]
        counts, measured = self.cohort.counts[chosen].float(), self.cohort.genes_of(chosen)
        if torch.rand(1, generator=generator) < plan.panels:
            measured = measured & _panel(measured.shape[1], plan.least_panel, generator)
            counts = counts * measured
        totals = counts.sum(dim=1)
        part = (plan.least_depth / totals.clamp_min(plan.least_depth)) ** torch.rand(
            size, generator=generator
        )
        part[torch.rand(size, generator=generator) < plan.whole] = 1.0
        counts = thin_counts(counts, part, generator)
        images = self.cohort.images[chosen]
        for level, shape in ((plan.tile_noise, images.shape), (plan.staining_noise, images.shape[1:])):
            images = images + level * torch.randn(shape, generator=generator)
        return Batch(
            z=_encoded(self.model, counts, measured),
            depth=counts.sum(dim=1),
            panel=measured.float().mean(dim=1),
            images=images,
            hidden=torch.rand(size, generator=generator) < plan.hidden_counts,
            target=self.cohort.target[chosen],
        )


def thin_counts(counts: Tensor, part: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Keep each molecule of `counts` (spots, genes) with its spot's chance `part` (spots,)."""
    spots, genes = counts.nonzero(as_tuple=True)
    thinned = torch.zeros_like(counts, dtype=torch.float32)
    thinned[spots, genes] = torch.binomial(counts[spots, genes].float(), part[spots], generator=generator)
    return thinned


def _panel(genes: int, least: int, generator: torch.Generator) -> Tensor:
    """Mask (genes,) of a panel whose size is log-uniform from `least` to all."""
    least = min(least, genes)
    size = round(least * (genes / least) ** float(torch.rand(1, generator=generator)))
    mask = torch.zeros(genes, dtype=torch.bool)
    mask[torch.randperm(genes, generator=generator)[:size]] = True
    return mask


def _validation(make: _Maker, seed: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(step_seed("gate validation", seed, 0, 0))
    return [make(step, generator) for step in range(VALIDATION_BATCHES)]


def _held_out(donors: Sequence[str], seed: int) -> Tensor:
    """Mask of the spots of one donor in five, at least one; of one spot in five where there is one donor."""
    generator = torch.Generator().manual_seed(step_seed("gate donors", seed, 0, 0))
    names = sorted(set(donors))
    if len(names) == 1:
        return torch.rand(len(donors), generator=generator) < 0.2
    order = torch.randperm(len(names), generator=generator)[: max(1, len(names) // 5)]
    held_out = {names[i] for i in order.tolist()}
    return torch.tensor([donor in held_out for donor in donors])


def _pooled(model: Deconvolver, sections: Sequence[Section]) -> _Cohort:
    sizes = torch.tensor([len(section.counts) for section in sections])
    cohort = _Cohort(
        counts=torch.cat([section.counts for section in sections]),
        section=torch.arange(len(sections)).repeat_interleave(sizes),
        measured=torch.stack([section.measured for section in sections]),
        images=torch.cat([section.images.float() for section in sections]),
        target=torch.empty(0),
    )
    answers = []
    for start in range(0, len(cohort.counts), ENCODED_AT_ONCE):
        part = slice(start, start + ENCODED_AT_ONCE)
        z = _encoded(model, cohort.counts[part], cohort.genes_of(part))
        with torch.no_grad():
            answers.append(model.head(z).mean.float().cpu())
    return replace(cohort, target=torch.cat(answers))


def _encoded(model: Deconvolver, counts: Tensor, measured: Tensor) -> Tensor:
    """Encode on the model's device."""
    place = next(model.parameters()).device
    with torch.no_grad():
        return model.encode(counts.float().to(place), measured.to(place)).float()


@contextmanager
def _frozen(model: Deconvolver, device: Device) -> Iterator[None]:
    """Hold the model still, on `device`, while the block runs; afterwards it stands as before, on the CPU."""
    training, learned = model.training, [p for p in model.parameters() if p.requires_grad]
    model.eval().requires_grad_(False).to(device.torch_name)
    try:
        yield
    finally:
        model.to("cpu").train(training)
        for parameter in learned:
            parameter.requires_grad_(True)
