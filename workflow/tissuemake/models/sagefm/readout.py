"""What a spot's components and depth, and those around it, say of every gene in a straight line: solved, not taught.

A ridge is hard to beat where thousands of genes are read from a few thousand spots; the network's answer is the mean of
its own and this one.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from tissuemake.models.sagefm.graph import Neighborhood
from tissuemake.models.sagefm.lessons import Pupil
from tissuemake.models.sagefm.reading import linear_features

# A gene must not be read from components that saw it: each of so many parts of the genes is hidden in turn.
FOLDS = 4
# Of which the one that says most of the examined spots is taken; per taught spot.
PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def mean_around(near: Neighborhood) -> sp.csr_matrix:
    """Return the matrix (n, n) that averages over all neighbours."""
    there = near.index >= 0
    count = there.sum(axis=1)
    rows = np.repeat(np.arange(len(near.index)), count)
    share = np.repeat(1 / np.maximum(count, 1), count)
    return sp.csr_matrix((share, (rows, near.index[there])), shape=(len(near.index), len(near.index)))


def solve_readout(
    pupils: Sequence[Pupil], taught: Sequence[np.ndarray], examined: Sequence[np.ndarray], seed: int
) -> Tensor:
    """Return float32 (2, 2 d + 2, V): ridges from `linear_features` to standardised log values of hidden genes.

    The first for centres that show a part of their genes, the second for those that show none. Fitted on the spots
    `taught`; the penalty is the one with the least error on those `examined`.
    """
    around = [_around(pupil) for pupil in pupils]
    return torch.stack([_solve(pupils, around, taught, examined, seed, shown) for shown in (True, False)])


def _solve(pupils, around, taught, examined, seed: int, shown: bool) -> Tensor:
    genes = len(pupils[0].sd)
    fold_of = np.random.default_rng(seed).permutation(np.arange(genes) % FOLDS)
    found: list[np.ndarray] = []
    errors = np.zeros(len(PENALTIES))
    for fold in range(FOLDS):
        part = fold_of == fold
        inner, product, exam = 0.0, 0.0, []
        for pupil, near, spots, kept in zip(pupils, around, taught, examined, strict=True):
            hidden = part | ~pupil.section.measured if shown else np.ones(genes, dtype=bool)
            own = pupil.components(hidden)
            x = linear_features(own, torch.from_numpy(pupil.depth), near, pupil.loadings)
            x = x.numpy().astype(np.float64)
            y = pupil.targets(part)
            inner = inner + x[spots].T @ x[spots]
            product = product + x[spots].T @ y[spots]
            exam.append((x[kept], y[kept]))
        n = sum(len(spots) for spots in taught)
        solved = [np.linalg.solve(inner + p * n * np.eye(len(inner)), product) for p in PENALTIES]
        errors += [sum(((y - x @ weights) ** 2).sum() for x, y in exam) for weights in solved]
        found.append(np.stack(solved))
    best = int(np.argmin(errors))
    weights = np.zeros((found[0].shape[1], genes), np.float32)
    for fold, solved in enumerate(found):
        weights[:, fold_of == fold] = solved[best]
    return torch.from_numpy(weights)


def _around(pupil: Pupil) -> Tensor:
    """Mean components of the neighbours of all observations, of which nothing is hidden, (n, d)."""
    seen = pupil.components(~pupil.section.measured).numpy()
    return torch.from_numpy((mean_around(pupil.section.neighbors) @ seen).astype(np.float32))
