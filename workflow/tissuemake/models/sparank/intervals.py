"""Intervals that keep their promise: the Dirichlet's sd, scaled on sections of held-out donors.

Split conformal prediction by bins of the predicted share (Mondrian; Vovk et al. 2005): within each bin, 90% of the
true shares of simulated sections lie inside ``mean ± 1.645 sd``. A single factor would be set by the many absent
types, and be far too narrow for the present ones.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tissuemake.models.sparank.lessons import Lesson
from tissuemake.models.sparank.model import Composition, SpaRank

COVERAGE = 0.9
# Normal quantile of a central 90% interval.
Z = 1.645
# Upper edges of the bins of the predicted share, the last open.
EDGES = (0.02, 0.1, 0.3, 0.6)
SMALLEST_SD = 1e-4


def fit_intervals(network: SpaRank, lessons: Sequence[Lesson]) -> list[float]:
    """Factor on the sd for each bin of the mean; one of a bin too rarely seen (under 30 times) is that of all."""
    means, ratios = [], []
    with torch.no_grad():
        for lesson in lessons:
            said = network(lesson.section.counts, lesson.section.measured, lesson.reference)
            means.append(said.mean.flatten())
            ratios.append(
                ((lesson.target - said.mean).abs() / (Z * said.sd.clamp_min(SMALLEST_SD))).flatten()
            )
    mean, ratio = torch.cat(means), torch.cat(ratios)
    bins = torch.bucketize(mean, torch.tensor(EDGES))
    overall = _quantile(ratio)
    return [
        _quantile(ratio[bins == index]) if (bins == index).sum() >= 30 else overall
        for index in range(len(EDGES) + 1)
    ]


def calibrated_sd(said: Composition, factors: Sequence[float]) -> Tensor:
    """Standard deviations (spots, types + 1) after the factors of `fit_intervals`."""
    bins = torch.bucketize(said.mean, torch.tensor(EDGES, device=said.mean.device))
    return said.sd.clamp_min(SMALLEST_SD) * torch.tensor(factors, device=said.mean.device)[bins]


def coverage(mean: Tensor, sd: Tensor, truth: Tensor) -> float:
    """Share of the `truth` inside ``mean ± 1.645 sd``."""
    return float(((truth - mean).abs() <= Z * sd).float().mean())


def _quantile(ratio: Tensor) -> float:
    # Sorting by hand: torch.quantile refuses more than 16 million values.
    ordered = ratio.sort().values
    return float(ordered[min(int(COVERAGE * (len(ordered) + 1)), len(ordered) - 1)])
