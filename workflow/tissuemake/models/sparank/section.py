"""What least squares says of a whole section before the model looks: platform factors and shares of types.

These are the model's input features beside ranks, and its answer until it has learnt better. All spots of a
section share a platform, so how well each gene is caught is read off the section (as in RCTD, Cable et al. 2022,
Nat. Biotechnol. 40, 517) with no weight changed. Solved by multiplicative updates (Lee & Seung 2001), which are
matrix products only, batch well and run on a GPU; the exact solver is `least_squares`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# Signatures are counts per 10,000; 0.1 is a molecule in ten cells.
FLOOR = 0.1
# A gene counted fewer times than this in the section keeps more than half of the atlas's level.
PRIOR_COUNTS = 10.0
LARGEST_LOG_FACTOR = 4.0
UPDATES = 30


@dataclass  # not frozen: lightning moves its fields to the device
class Survey:
    """Of a section: `factors` (genes,) of the platform, and the mean `shares` (types,) of its spots."""

    factors: Tensor
    shares: Tensor


def survey(counts: Tensor, measured: Tensor, signature: Tensor, rounds: int = 2) -> Survey:
    """Estimate a section's platform factors and mean composition.

    Parameters
    ----------
    counts
        (spots, genes) raw.
    measured
        (genes,) bool.
    signature
        (genes, types) counts per 10,000.
    """
    signature = signature * measured[:, None]
    totals = counts.sum(1, keepdim=True).clamp_min(1)
    observed, summed = (counts / totals).mean(0), counts.sum(0)
    trust = summed / (summed + PRIOR_COUNTS)
    factors = torch.ones_like(observed)
    for _ in range(rounds):
        shares = fit(counts, signature * factors[:, None])
        size = (shares @ signature.sum(0)).clamp_min(1e-12)
        mixture = signature @ (shares / size[:, None]).mean(0)
        ratio = torch.log((observed + 1e-6) / (mixture + 1e-6))
        ratio = (ratio - ratio[measured].median()) * trust
        factors = torch.where(measured, ratio.clamp(-LARGEST_LOG_FACTOR, LARGEST_LOG_FACTOR).exp(), 1.0)
    return Survey(factors, fit(counts, signature * factors[:, None]).mean(0))


def fit(counts: Tensor, signature: Tensor) -> Tensor:
    """Shares (spots, types) by least squares weighted with the counting noise of the mean profile."""
    weighted = signature / (signature.mean(1, keepdim=True) + FLOOR)
    gram = weighted.T @ signature
    gram = gram + 1e-6 * gram.diagonal().mean() * torch.eye(len(gram), device=gram.device)
    products = counts @ weighted
    start = products / gram.sum(0)
    return _shares(_update(start, gram, products))


def refit(counts: Tensor, signature: Tensor, shares: Tensor) -> Tensor:
    """Shares anew, each spot with the noise of its own predicted profile (after DWLS, Tsoucas et al. 2019)."""
    genes, types = signature.shape
    predicted = shares @ signature.T
    # Genes that are not measured (rows of zeros) must not lower the mean.
    mean = predicted.sum(1, keepdim=True) / (signature.sum(1) > 0).sum().clamp_min(1)
    weight = 1 / (predicted + 0.1 * mean + 1e-9)
    outer = (signature[:, :, None] * signature[:, None, :]).reshape(genes, types**2)
    grams = (weight @ outer).view(-1, types, types)
    return _shares(_update(shares + 1e-6, grams, (weight * counts) @ signature))


def _update(shares: Tensor, gram: Tensor, products: Tensor) -> Tensor:
    """Multiplicative updates; `gram` (types, types), or one for each spot."""
    products = products.clamp_min(0)
    for _ in range(UPDATES):
        fitted = shares @ gram if gram.ndim == 2 else torch.bmm(gram, shares[:, :, None])[:, :, 0]
        shares = shares * products / fitted.clamp_min(1e-12)
    return shares


def _shares(weights: Tensor) -> Tensor:
    total = weights.sum(1, keepdim=True)
    return torch.where(total > 0, weights / total.clamp_min(1e-30), 1 / weights.shape[1])
