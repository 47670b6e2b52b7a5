"""What the image says of pathways in a straight line: solved, not taught; the model's answer is the mean of both.

A ridge is hard to beat where fifty noisy activities are read from a few hundred spots.
"""

from collections.abc import Sequence

import numpy as np

from tissuemake.evaluation.metrics import pearson

# Per spot; which one is taken is decided on blocks that were left out.
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
FEWEST_SPOTS = 10
RANK = 8


def fit_ridge(
    inputs: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    folds: Sequence[np.ndarray],
    penalties: Sequence[float] = PENALTIES,
    *,
    rank: int = RANK,
) -> tuple[np.ndarray, float]:
    """Return weights (f, k) and the penalty whose answers correlate best, within slides, with what was left out.

    Parameters
    ----------
    inputs, targets
        By slide, (n, f) and (n, k) about 0: scores, and library size in the last column.
    folds
        By slide, (n,): who is left out together; -1 is learnt from and never asked.
    rank
        Principal directions of the targets that are learnt; 0 for all.
    """
    numbers = sorted({number for fold in folds for number in np.unique(fold) if number >= 0})
    gains = np.zeros(len(penalties))
    for number in numbers if len(penalties) > 1 else []:
        kept = [fold != number for fold in folds]
        x, y = _stack(inputs, kept), in_directions(_stack(targets, kept), rank)
        if len(x) < FEWEST_SPOTS:
            continue
        for place, weights in enumerate(solve(x, y, penalties)):
            for values, truth, inside in zip(inputs, targets, kept, strict=True):
                if (~inside).sum() >= FEWEST_SPOTS:
                    found = pearson(values[~inside] @ weights, truth[~inside])
                    gains[place] += np.nan_to_num(np.nanmean(found)) if np.isfinite(found).any() else 0.0
    best = penalties[int(np.argmax(gains))]
    everyone = [np.ones(len(fold), bool) for fold in folds]
    y = in_directions(_stack(targets, everyone), rank)
    return solve(_stack(inputs, everyone), y, [best])[0], best


def in_directions(values: np.ndarray, rank: int) -> np.ndarray:
    """`values` (n, k) in their first `rank` principal directions: fifty noisy targets share a few signals.

    The last column, library size, is no such target and stays as it is.
    """
    scores, depth = values[:, :-1], values[:, -1:]
    if not 0 < rank < min(scores.shape):
        return values
    vectors = np.linalg.eigh(scores.T @ scores)[1][:, -rank:]
    return np.hstack([scores @ vectors @ vectors.T, depth])


def _stack(parts: Sequence[np.ndarray], kept: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([part[rows] for part, rows in zip(parts, kept, strict=True)]).astype(np.float64)


def solve(x: np.ndarray, y: np.ndarray, penalties: Sequence[float]) -> list[np.ndarray]:
    """Ridge weights (f, k) for each penalty per row, by one decomposition."""
    values, vectors = np.linalg.eigh(x.T @ x)
    turned = vectors.T @ (x.T @ y)
    return [vectors @ (turned / (np.maximum(values, 0) + max(p, 1e-9) * len(x))[:, None]) for p in penalties]
