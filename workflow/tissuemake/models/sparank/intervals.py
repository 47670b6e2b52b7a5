"""Intervals that keep their promise: the Dirichlet's sd, scaled on sections of held-out donors.

Split conformal prediction by bins (Mondrian; Vovk et al. 2005): within each bin, 90% of the true shares of simulated
sections lie inside ``mean ± 1.645 sd``. Bins are of the predicted share: a single factor would be set by the many
absent types and be far too narrow for the present ones. And of the type's mean share of the section: where a type is
rare, a small share is more often a true zero (without these bins 94 to 97% of skewed tissue was covered).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tissuemake.models.sparank.lessons import Lesson
from tissuemake.models.sparank.model import Composition, SpaRank

COVERAGE = 0.9
# Normal quantile of a central 90% interval.
Z = 1.645
# Upper edges of the bins of the predicted share and of the mean over the section, the last open.
EDGES = (0.005, 0.02, 0.05, 0.1, 0.3, 0.6)
SECTION_EDGES = (0.01, 0.03, 0.1)
FEWEST = 30
SMALLEST_SD = 1e-4


def fit_intervals(network: SpaRank, lessons: Sequence[Lesson]) -> list[list[float]]:
    """Factors on the sd: a row for each bin of the mean, in it one for each bin of the section's mean.

    A bin seen under 30 times takes the factor of its row, and such a row that of all.
    """
    places, ratios = [], []
    with torch.no_grad():
        for lesson in lessons:
            said = network(lesson.section.counts, lesson.section.measured, lesson.reference)
            places.append(torch.stack([part.flatten() for part in _bins(said)]))
            ratios.append(
                ((lesson.target - said.mean).abs() / (Z * said.sd.clamp_min(SMALLEST_SD))).flatten()
            )
    (row, column), ratio = torch.cat(places, dim=1), torch.cat(ratios)
    factors = []
    for index in range(len(EDGES) + 1):
        of_row = ratio[row == index] if (row == index).sum() >= FEWEST else ratio
        cells = [(row == index) & (column == place) for place in range(len(SECTION_EDGES) + 1)]
        factors.append([_quantile(ratio[cell] if cell.sum() >= FEWEST else of_row) for cell in cells])
    return factors


def is_table(factors: object) -> bool:
    """Whether `factors` have the rows and columns that `fit_intervals` writes."""
    rows = factors if isinstance(factors, list) else []
    return len(rows) == len(EDGES) + 1 and all(
        isinstance(row, list) and len(row) == len(SECTION_EDGES) + 1 for row in rows
    )


def calibrated_sd(said: Composition, factors: Sequence[Sequence[float]]) -> Tensor:
    """Standard deviations (spots, types + 1) after the factors of `fit_intervals`; `said` is of a whole section."""
    row, column = _bins(said)
    return said.sd.clamp_min(SMALLEST_SD) * torch.tensor(factors, device=said.mean.device)[row, column]


def _bins(said: Composition) -> tuple[Tensor, Tensor]:
    """Bin of each share (spots, types + 1), and of its type's mean share of the section (likewise)."""
    mean, place = said.mean, said.mean.device
    column = torch.bucketize(mean.mean(0), torch.tensor(SECTION_EDGES, device=place))
    return torch.bucketize(mean, torch.tensor(EDGES, device=place)), column.expand(mean.shape)


def coverage(mean: Tensor, sd: Tensor, truth: Tensor) -> float:
    """Share of the `truth` inside ``mean ± 1.645 sd``."""
    return float(((truth - mean).abs() <= Z * sd).float().mean())


def _quantile(ratio: Tensor) -> float:
    # Sorting by hand: torch.quantile refuses more than 16 million values.
    ordered = ratio.sort().values
    return float(ordered[min(int(COVERAGE * (len(ordered) + 1)), len(ordered) - 1)])
