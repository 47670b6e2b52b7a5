"""Thin sections, to teach the image gate: spots of the pretraining cohort at a random depth, on a random panel."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tissuemake.models.schedule import Schedule
from tissuemake.models.sparank.model import Composition, Reference, SpaRank


@dataclass(frozen=True)
class TiledSection:
    """A section with an image, of the pretraining cohort.

    Parameters
    ----------
    donor
        Whole donors are held out to choose the weights.
    counts
        (spots, genes) raw counts in the order of the network's vocabulary, any numeric type.
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
    """How thin sections are made and how the gate is taught."""

    # Spots of a batch; all of one section, which the network reads as a whole.
    spots: int = 128
    # Median counts that a section is thinned to, log-uniform from here to all it has.
    least_depth: float = 50.0
    # Share of the batches that keep all counts: there the gate must learn to leave well alone.
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
    """Spots as the gate sees them, and what it is to say; `images` are standardised, `panel` a scalar."""

    z: Tensor
    depth: Tensor
    panel: Tensor
    images: Tensor
    hidden: Tensor
    target: Tensor
    target_sd: Tensor


@dataclass(frozen=True)
class ThinSections:
    """Makes batches, of the chosen `spots` of each section, a function of the generator alone."""

    network: SpaRank
    reference: Reference
    sections: Sequence[TiledSection]
    answers: Sequence[Composition]
    spots: Sequence[Tensor]
    plan: Distillation

    def __call__(self, step: int, generator: torch.Generator) -> Batch:
        plan = self.plan
        sizes = torch.tensor([len(spots) for spots in self.spots], dtype=torch.float32)
        number = int(torch.multinomial(sizes, 1, generator=generator))
        section, answer, spots = self.sections[number], self.answers[number], self.spots[number]
        chosen = spots[torch.randperm(len(spots), generator=generator)[: plan.spots]]
        counts, measured = self._thinned(section, chosen, generator)
        images = section.images[chosen]
        for level, shape in ((plan.tile_noise, images.shape), (plan.staining_noise, images.shape[1:])):
            images = images + level * torch.randn(shape, generator=generator)
        return Batch(
            z=self._encoded(counts, measured),
            depth=counts.sum(dim=1),
            panel=measured.float().mean(),
            images=images,
            hidden=torch.rand(len(chosen), generator=generator) < plan.hidden_counts,
            target=answer.mean[chosen],
            target_sd=answer.sd[chosen],
        )

    def _encoded(self, counts: Tensor, measured: Tensor) -> Tensor:
        """Encode on the reference's device."""
        place = self.reference.medians.device
        with torch.no_grad():
            return self.network.encode(counts.to(place), measured.to(place), self.reference)

    def _thinned(
        self, section: TiledSection, chosen: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        plan, measured = self.plan, section.measured
        if torch.rand(1, generator=generator) < plan.panels:
            measured = measured & _panel(len(measured), plan.least_panel, generator)
        counts = section.counts[chosen].float() * measured
        least = plan.least_depth / float(counts.sum(dim=1).median().clamp_min(plan.least_depth))
        part = least ** float(torch.rand(1, generator=generator))
        if torch.rand(1, generator=generator) >= plan.whole:
            counts = thin_counts(counts, part, generator)
        return counts, measured


def thin_counts(counts: Tensor, part: float, generator: torch.Generator | None = None) -> Tensor:
    """Keep each molecule of `counts` (spots, genes) with the chance `part`."""
    spots, genes = counts.nonzero(as_tuple=True)
    found = counts[spots, genes].float()
    thinned = torch.zeros_like(counts, dtype=torch.float32)
    thinned[spots, genes] = torch.binomial(found, torch.full_like(found, part), generator=generator)
    return thinned


def _panel(genes: int, least: int, generator: torch.Generator) -> Tensor:
    """Mask (genes,) of a panel whose size is log-uniform from `least` to all."""
    least = min(least, genes)
    size = round(least * (genes / least) ** float(torch.rand(1, generator=generator)))
    mask = torch.zeros(genes, dtype=torch.bool)
    mask[torch.randperm(genes, generator=generator)[:size]] = True
    return mask
