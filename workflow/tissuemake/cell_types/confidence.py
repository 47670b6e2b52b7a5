"""How sure a label is, learnt on the atlas's own cells made as sparse as the sample's and caught as unevenly.

Half of the atlas gives profiles, the other half is labelled with them; then again with one type after another left
out, so that cells of a type that nobody knows are among those it learns from. Nothing of the sample's truth is used.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from tissuemake.cell_types import transfer

# Cells made, per half of the atlas.
CELLS = 2000
# Weight of a cell of a withheld type beside one of a known type. On STARmap cells, of which 31% are of types that the
# atlas lacks, 0.2, 0.5 and 1 call 69, 87 and 90% of these unknown, and 24, 38 and 49% of the others.
FOREIGN = 0.3


@dataclass(frozen=True)
class Confidence:
    """A logistic model of whether a label is right; weights of the standardised features."""

    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    intercept: float

    def of(self, found: transfer.Fit, counts: sp.csr_matrix) -> np.ndarray:
        """Probability (cells,) that the most likely type is right."""
        score = (features(found, counts) - self.mean) / self.spread @ self.weights + self.intercept
        return 1 / (1 + np.exp(-score))


def learn(
    atlas: sp.csr_matrix, types: np.ndarray, depths: np.ndarray, unevenness: float, seed: int
) -> Confidence:
    """Fit to cells of `atlas` (cells, genes) that are made like a sample's.

    Parameters
    ----------
    types
        Type of each cell of the atlas.
    depths
        Molecules of each of the sample's cells, on the same genes.
    unevenness
        Standard deviation of the log by which genes are caught better or worse (see `transfer.Fit`).
    """
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(seed)
    names, halves = np.unique(types), rng.permutation(len(types)) % 2
    rows, right, weights = [], [], []
    for half in (0, 1):
        taught, asked = halves == half, np.flatnonzero(halves != half)
        profiles = transfer.profiles_of(atlas[taught], types[taught], names)
        drawn = rng.choice(asked, CELLS)
        cells, known = made_alike(atlas[drawn], depths, unevenness, rng), types[drawn]
        found = transfer.fit(cells, profiles)
        rows.append(features(found, cells))
        right.append(names[found.best] == known)
        weights.append(np.ones(len(known)))
        for place, name in enumerate(names if len(names) > 2 else ()):
            foreign = known == name
            found = transfer.fit(cells, np.delete(profiles, place, axis=1))
            rows.append(features(found, cells)[foreign])
            right.append(np.zeros(foreign.sum(), dtype=bool))
            weights.append(np.full(foreign.sum(), FOREIGN))
    table, answer = np.concatenate(rows), np.concatenate(right)
    mean, spread = table.mean(axis=0), table.std(axis=0) + 1e-9
    if answer.all() or not answer.any():  # one type alone, or nothing to tell apart
        return Confidence(mean, spread, np.zeros(table.shape[1]), 8.0 if answer.all() else -8.0)
    model = LogisticRegression().fit((table - mean) / spread, answer, np.concatenate(weights))
    return Confidence(mean, spread, model.coef_[0], float(model.intercept_[0]))


def made_alike(
    cells: sp.csr_matrix, depths: np.ndarray, unevenness: float, rng: np.random.Generator
) -> sp.csr_matrix:
    """Cells (cells, genes) drawn again as another platform would: genes caught unevenly, depth as one of `depths`."""
    caught = np.exp(rng.normal(0, unevenness, cells.shape[1]))
    made = cells.astype(np.float64).multiply(caught).tocsr()
    scale = rng.choice(depths, made.shape[0]) / np.maximum(transfer.molecules(made), 1e-9)
    made.data = rng.poisson(made.data * np.repeat(scale, np.diff(made.indptr))).astype(np.float64)
    made.eliminate_zeros()
    return made


def features(found: transfer.Fit, counts: sp.csr_matrix) -> np.ndarray:
    """What tells a right label from a wrong one (cells, 4).

    The lead over the second type, in all and by molecule; likeness to the profile; depth.
    """
    depth = np.maximum(transfer.molecules(counts), 1)
    ordered = np.sort(found.likelihood, axis=1)
    lead = ordered[:, -1] - ordered[:, -2] if ordered.shape[1] > 1 else depth
    return np.column_stack([np.log1p(lead), lead / depth, likeness(counts, found), np.log(depth)])


def likeness(counts: sp.csr_matrix, found: transfer.Fit) -> np.ndarray:
    """Bhattacharyya coefficient of each cell's shares of genes with those of its most likely type (cells,)."""
    roots = sp.csr_matrix(counts, dtype=np.float64).sqrt()
    size = np.sqrt(np.maximum(transfer.molecules(counts), 1))
    overlap = np.empty(len(size))
    for kind in np.unique(found.best):
        cells = found.best == kind
        overlap[cells] = roots[cells] @ np.sqrt(found.profiles[:, kind]) / size[cells]
    return overlap
