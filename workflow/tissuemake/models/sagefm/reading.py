"""Read the visible genes of a spot into principal components; hidden and unmeasured genes take no part.

The posterior mean of probabilistic PCA (Tipping & Bishop 1999): x = (L' S L + 1 / variance)^-1 L' S v, with S the
visible genes. A small panel gives components nearer to 0, not wrong ones.
"""

from typing import NamedTuple

import torch
from torch import Tensor

# Conjugate gradients: with 30 % of the genes hidden the error is below 1 % after four steps.
SOLVER_STEPS = 6


class Loadings(NamedTuple):
    """(V, d) orthonormal directions of Pearson residuals; (d,) variance along them in units of the noise."""

    directions: Tensor
    variance: Tensor


@torch.no_grad()
def components_alike(values: Tensor, visible: Tensor, loadings: Loadings) -> Tensor:
    """Return (n, d), each of unit variance, for `values` (n, V) where one set of genes (V,) is visible in all."""
    directions, variance = loadings
    seen = directions * visible[:, None]
    inner = seen.T @ directions + torch.diag(1 / variance)
    return (values @ seen) @ torch.linalg.inv(inner).T / variance.sqrt()


@torch.no_grad()
def components(values: Tensor, visible: Tensor, loadings: Loadings) -> Tensor:
    """Return (n, d) where each row of `values` (n, V) has its own `visible` (n, V), as float.

    By conjugate gradients, preconditioned as if the genes were hidden evenly.
    """
    directions, variance = loadings
    prior = 1 / variance
    scale = 1 / (visible.mean(dim=1, keepdim=True) + prior)
    residual = (values * visible) @ directions
    found = torch.zeros_like(residual)
    step = scale * residual
    direction = step
    weight = (residual * step).sum(1, keepdim=True)
    for _ in range(SOLVER_STEPS):
        product = ((direction @ directions.T) * visible) @ directions + prior * direction
        length = weight / (direction * product).sum(1, keepdim=True).clamp(min=1e-12)
        found = found + length * direction
        residual = residual - length * product
        step = scale * residual
        following = (residual * step).sum(1, keepdim=True)
        direction = step + following / weight.clamp(min=1e-12) * direction
        weight = following
    return found / variance.sqrt()


def linear_features(own: Tensor, depth: Tensor, around: Tensor, loadings: Loadings) -> Tensor:
    """Join components of the centres (n, d), their depth (n, 2) and mean components around them (n, d).

    Components get back their relative sizes, so that a ridge shrinks what varies little.
    """
    size = (loadings.variance / loadings.variance.max()).sqrt()
    return torch.cat([own * size, depth, around * size], dim=1)
