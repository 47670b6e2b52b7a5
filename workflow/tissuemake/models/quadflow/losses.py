"""What the network is taught by: squared error, correlation within a slide, and smoothness on the graph."""

import torch
from torch import Tensor

from tissuemake.models.gather import gather_rows
from tissuemake.models.quadflow.neighbors import Around

# Fewer spots than this have no correlation worth a gradient; with two it is always 1.
FEWEST_SPOTS = 5
LEAST_VARIANCE = 1e-6


def correlation_loss(said: Tensor, truth: Tensor) -> Tensor:
    """1 - Pearson's r of matching columns of two (n, P), mean over the columns that vary in `truth`.

    An answer that does not vary has r 0 and a finite gradient. 0 where there are too few spots, or nothing varies.
    """
    if len(said) < FEWEST_SPOTS:
        return said.sum() * 0
    left, right = said - said.mean(dim=0), truth - truth.mean(dim=0)
    varies = right.square().mean(dim=0) > LEAST_VARIANCE
    if not varies.any():
        return said.sum() * 0
    left, right = left[:, varies], right[:, varies]
    size = (left.square().mean(dim=0) + LEAST_VARIANCE).sqrt() * right.square().mean(dim=0).sqrt()
    return 1 - ((left * right).mean(dim=0) / size).mean()


def roughness(said: Tensor, around: Around) -> Tensor:
    """Mean squared difference of `said` (n, P) between patches and their neighbours; 0 without any."""
    there = around.index >= 0
    if not there.any():
        return said.sum() * 0
    centre, place = torch.nonzero(there, as_tuple=True)
    return (gather_rows(said, centre) - gather_rows(said, around.index[centre, place])).square().mean()
