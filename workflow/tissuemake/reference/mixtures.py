"""Sections simulated from the cells of an atlas, spot by spot with known composition, while a model trains.

A section is what one slide is: its spots share a platform (how well each gene is caught), a panel, a depth, an
ambient background and a tissue (which types there are and in which niches). Compositions follow the regimes of
synthspot (Sang-aram et al. 2024, eLife 12, RP88431): niches of a few types, dominated and even mixtures.
Needs torch alone, and runs where its tensors stand.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


@dataclass(frozen=True)
class Regimes:
    """How far simulated sections differ from the atlas; each default is the upper end, sections draw below it."""

    # Spots of 55 to 100 µm hold 1 to 30 cells.
    most_cells: int = 30
    # Counts of a spot over all genes, log-uniform between: ST and Visium, panels and failed spots included.
    depths: tuple[float, float] = (100.0, 20_000.0)
    # Log sd of a gene's efficiency between atlas and platform; 10x against imaging reaches 1 and more.
    platform: float = 1.0
    # Log sd of a gene's level within one type: other donors, states and diseases than the atlas's.
    state: float = 1.2
    # Log sd of the RNA that a type's cells give: dissociation and tissue differ.
    content: float = 0.5
    # Share of a spot's counts that drifted in from the rest of the section.
    ambient: float = 0.2
    # Cells are drawn towards their type's mean by up to this share, or a type of five cells is learnt by heart.
    blur: float = 0.5
    # Share of the sections that measure a panel only, and the smallest panel.
    panels: float = 0.5
    least_panel: int = 100
    # Cells of each type that one section draws from.
    pool: int = 40
    niches: int = 6


@dataclass(frozen=True)
class Cells:
    """Raw counts (cells, genes) and type codes (cells,), 0 … types - 1; every type has a cell."""

    counts: Tensor
    codes: Tensor
    types: int

    def of_types(self) -> tuple[Tensor, Tensor]:
        """Rows of each type, padded to the largest (types, most), and how many are real (types,)."""
        sizes = torch.bincount(self.codes, minlength=self.types)
        if not (sizes > 0).all():
            raise ValueError(f"types without a cell: {(sizes == 0).nonzero()[:, 0].tolist()}")
        order = torch.argsort(self.codes, stable=True)
        first = torch.cumsum(sizes, 0) - sizes
        column = torch.arange(int(sizes.max()), device=self.codes.device)
        return order[first[:, None] + column % sizes[:, None]], sizes


@dataclass  # not frozen: lightning moves its fields to the device
class Section:
    """Simulated spots.

    Attributes
    ----------
    counts
        (spots, genes) float, whole numbers; 0 where a gene is not measured.
    measured
        (genes,) bool.
    shares
        (spots, types) shares of the spot's cells; rows sum to 1.
    """

    counts: Tensor
    measured: Tensor
    shares: Tensor


class Mixtures:
    """Draws sections from `cells`; all chance comes from the generator, which stands on the cells' device."""

    def __init__(self, cells: Cells, regimes: Regimes | None = None) -> None:
        self.cells, self.regimes = cells, regimes or Regimes()
        self.rows, self.sizes = cells.of_types()
        sums = torch.zeros(cells.types, cells.counts.shape[1], device=cells.counts.device)
        self.means = sums.index_add_(0, cells.codes, cells.counts.float()) / self.sizes[:, None]

    def section(self, spots: int, generator: Generator, levels: Tensor | None = None) -> Section:
        """Simulate one section of `spots` spots.

        Parameters
        ----------
        levels
            (types, genes) factors on every cell's counts: another atlas's cells, made of these.
        """
        draw = _Draw(generator, self.means.device)
        regimes, types = self.regimes, self.cells.types
        wanted = self.compositions(spots, draw)
        drawn = torch.multinomial(wanted, regimes.most_cells, replacement=True, generator=generator)
        alive = torch.arange(regimes.most_cells, device=drawn.device) < self._cells_per_spot(spots, draw)
        shares = torch.zeros_like(wanted).scatter_add_(1, drawn, alive.float())
        content = torch.exp(regimes.content * draw.share() * draw.normal(types))
        weight = alive * torch.exp(0.3 * draw.normal(*drawn.shape)) * content[drawn]
        expected = self._expression(drawn, weight, draw, levels)
        measured, expected = self._capture(expected, draw)
        return Section(
            torch.poisson(expected, generator=generator), measured, shares / shares.sum(1, keepdim=True)
        )

    def compositions(self, spots: int, draw: "_Draw") -> Tensor:
        """Chances of types (spots, types): niches of one tissue, borders between them, and spots of no niche."""
        types, niches = self.cells.types, self.regimes.niches
        abundance = draw.dirichlet(torch.full((1, types), draw.choice(0.3, 1.0, 3.0)))
        agreement = draw.log_uniform(0.5, 30.0)
        niche = draw.dirichlet((abundance * agreement + 0.02).expand(niches, types))
        border = draw.uniform(spots, 1) * (draw.uniform(spots, 1) < 0.5)
        here, there = draw.integers(niches, spots), draw.integers(niches, spots)
        mixed = (1 - border) * niche[here] + border * niche[there]
        spread = torch.tensor([0.1, 0.4, 1.0], device=mixed.device)[draw.integers(3, spots)]
        loose = draw.dirichlet(spread[:, None].expand(spots, types))
        chances = torch.where(draw.uniform(spots, 1) < 0.3, loose, mixed) + 1e-8
        return chances / chances.sum(1, keepdim=True)

    def _cells_per_spot(self, spots: int, draw: "_Draw") -> Tensor:
        most = self.regimes.most_cells
        if draw.share() < 0.5:  # a tissue of one density
            density = torch.full((spots, 1), draw.log_uniform(1, most), device=draw.device)
            return torch.poisson(density, generator=draw.generator).clamp(1, most)
        return torch.exp(draw.uniform(spots, 1) * torch.log(torch.tensor(most + 0.99))).floor()

    def _expression(self, drawn: Tensor, weight: Tensor, draw: "_Draw", levels: Tensor | None) -> Tensor:
        """Expected counts (spots, genes) before the platform: cells of this section's states, summed."""
        regimes, types = self.regimes, self.cells.types
        chosen = (draw.uniform(types, regimes.pool) * self.sizes[:, None]).long()
        pool = self.cells.counts[self.rows.gather(1, chosen)].float()
        state = torch.exp(regimes.state * draw.share() * draw.normal(types, pool.shape[2]))
        if levels is not None:
            state = state * levels
        pool, means = pool * state[:, None], self.means * state
        row = drawn * regimes.pool + draw.integers(regimes.pool, *drawn.shape)
        summed = F.embedding_bag(row, pool.flatten(0, 1), mode="sum", per_sample_weights=weight)
        by_type = torch.zeros(len(drawn), types, device=weight.device).scatter_add_(1, drawn, weight)
        blur = regimes.blur * draw.uniform(len(drawn), 1)
        return (1 - blur) * summed + blur * (by_type @ means)

    def _capture(self, expected: Tensor, draw: "_Draw") -> tuple[Tensor, Tensor]:
        """What the platform measures, and its expected counts at the section's depth."""
        regimes, (spots, genes) = self.regimes, expected.shape
        expected = expected * torch.exp(regimes.platform * draw.share() * draw.normal(genes))
        part = expected / expected.sum(1, keepdim=True).clamp_min(1e-9)
        ambient = regimes.ambient * draw.share()
        part = (1 - ambient) * part + ambient * part.mean(0)
        measured = torch.ones(genes, dtype=torch.bool, device=part.device)
        if draw.share() < regimes.panels and genes > regimes.least_panel:
            size = int(draw.log_uniform(regimes.least_panel, genes))
            measured = draw.uniform(genes).argsort() < size
        depth = draw.log_uniform(*regimes.depths) * torch.exp(0.5 * draw.normal(spots, 1))
        return measured, part * depth * measured


@dataclass(frozen=True)
class _Draw:
    """Random numbers from one generator, on its device."""

    generator: Generator
    device: torch.device

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator, device=self.device)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def integers(self, below: int, *shape: int) -> Tensor:
        return torch.randint(below, shape, generator=self.generator, device=self.device)

    def dirichlet(self, concentration: Tensor) -> Tensor:
        concentration = concentration.to(self.device).contiguous()
        return torch._sample_dirichlet(concentration, generator=self.generator)

    def share(self) -> float:
        return float(self.uniform(1))

    def choice(self, *values: float) -> float:
        return values[int(self.integers(len(values), 1))]

    def log_uniform(self, low: float, high: float) -> float:
        return low * (high / low) ** self.share()
