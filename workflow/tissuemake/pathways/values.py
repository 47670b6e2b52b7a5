"""What scores are made of: a gene's expression in a spot against what the training cohort leads one to expect.

``published`` values are log1p(CP10k). They grow with the depth of a spot (more of its genes are above zero), and so
do means of their z-scores. ``corrected`` values are Pearson residuals of a count model with the depth in it (Lause,
Berens and Kobak, Genome Biology 2021): x - μ over its standard deviation, μ = depth × the gene's share of counts.
"""

from collections.abc import Iterator

import anndata as ad
import numpy as np
import scipy.sparse as sp

# The kinds of values, and what may be asked for: `corrected` scores are of residuals, library size regressed out.
KINDS = ("residuals", "published")
DEPTHS = ("residuals", "corrected", "published")
# Overdispersion of the negative binomial, as in the paper; a residual beyond CLIP is one outlier, not an activity.
THETA = 100.0
CLIP = 10.0
ROWS = 1000


def value_blocks(
    adata: ad.AnnData, shares: np.ndarray, kind: str, columns: np.ndarray | None = None
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield rows and their dense values (rows, genes) float32, a block at a time.

    Parameters
    ----------
    adata
        A filtered section: log1p(CP10k) in ``X``, counts in ``layers["counts"]``.
    shares
        Of each of its genes the expected share of a spot's counts, in the training cohort; 0 leaves a gene out
        of the depth and gives zeros.
    kind
        One of `KINDS`.
    columns
        Positions of the genes to give; all of them when not given.
    """
    columns = np.arange(adata.n_vars) if columns is None else columns
    known = shares > 0
    part = shares[columns] / max(shares.sum(), 1e-12)
    counts = sp.csr_matrix(adata.layers["counts"])
    lengths = np.asarray(counts[:, known].sum(axis=1), np.float64).ravel()
    for start in range(0, adata.n_obs, ROWS):
        rows = slice(start, min(start + ROWS, adata.n_obs))
        if kind == "published":
            yield rows, _dense(adata.X[rows], columns)
            continue
        expected = lengths[rows, None] * part[None]
        spread = np.sqrt(expected + expected**2 / THETA)
        residuals = (_dense(counts[rows], columns) - expected) / np.maximum(spread, 1e-12)
        yield rows, np.where(part > 0, np.clip(residuals, -CLIP, CLIP), 0.0).astype(np.float32)


def _dense(block: sp.spmatrix | np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.asarray(sp.csr_matrix(block)[:, columns].todense(), np.float32)


def log_depth(adata: ad.AnnData) -> np.ndarray:
    """Natural log of the counts of each spot (n,)."""
    return np.log(np.maximum(np.asarray(adata.layers["counts"].sum(axis=1), np.float64).ravel(), 1.0))
