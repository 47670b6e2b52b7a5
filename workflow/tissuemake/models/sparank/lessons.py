"""Lessons for the network: a simulated section beside a reference from which some of its types may be missing."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from tissuemake.models.sparank.model import Reference
from tissuemake.reference.mixtures import Mixtures, Section


@dataclass  # not frozen: lightning moves its fields to the device
class Lesson:
    """A section, the reference that it is shown with, and the shares (spots, types + 1) to be named."""

    section: Section
    reference: Reference
    target: Tensor
    ties: int


@dataclass(frozen=True)
class Lessons:
    """Makes lessons, each a function of its generator.

    Attributes
    ----------
    spots
        Of a section.
    hidden
        Share of the sections of which types are hidden: their cells are there, their signature is not. So the
        network learns what the unknown looks like, and, when signatures are its queries, any subset of types.
    virtual
        Share of the sections whose cells and signatures are moved alike, gene by gene and type by type: another
        atlas, made of this one. Without it the network learns what is peculiar to these few profiles; on her2st
        sections (TNBC atlas) the mean r rose by .02.
    spread
        Log sd of that move, at most.
    """

    mixtures: Mixtures
    reference: Reference
    spots: int
    hidden: float = 0.5
    virtual: float = 0.7
    spread: float = 1.0

    def __call__(self, step: int, generator: Generator) -> Lesson:
        levels, reference = self._atlas(generator)
        section = self.mixtures.section(self.spots, generator, levels)
        kept = self._kept(generator)
        shares = section.shares[:, kept]
        unknown = (1 - shares.sum(1, keepdim=True)).clamp_min(0)
        ties = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
        return Lesson(section, reference.of_types(kept), torch.cat([shares, unknown], dim=1), ties)

    def _kept(self, generator: Generator) -> Tensor:
        """Positions of the types that the reference is shown with: all, or all but up to a third."""
        types, place = len(self.reference.kinds), generator.device
        order = torch.randperm(types, generator=generator, device=place)
        hides = torch.rand(1, generator=generator, device=place) < self.hidden
        if types < 3 or not hides:
            return torch.arange(types, device=place)
        out = int(torch.randint(1, max(2, types // 3), (1,), generator=generator, device=place))
        return order[out:].sort().values

    def _atlas(self, generator: Generator) -> tuple[Tensor | None, Reference]:
        """Factors (types, genes) on the cells, or None, and the reference that goes with them."""
        known, place = self.reference, generator.device
        if torch.rand(1, generator=generator, device=place) >= self.virtual:
            return None, known
        spread = self.spread * torch.rand(1, generator=generator, device=place)
        levels = torch.exp(spread * torch.randn(known.signature.shape, generator=generator, device=place))
        moved = known.signature * levels
        common = moved.mean(1) / known.signature.mean(1).clamp_min(1e-9)
        return levels.T, Reference(moved, known.medians * common.clamp_min(1e-3), known.kinds)
