"""Genes that tell one cell type from the others, by fold change among those that differ beyond noise."""

import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.reference.signatures import mean_by_type

# Fold changes of genes near zero are noise; a tenth of a count in 10,000 is about one molecule in ten cells.
PSEUDO = 0.1
PER_TYPE = 200
MIN_FRACTION = 0.1
MIN_T = 2.0


def find_markers(
    values: sp.csr_matrix, cell_type: pd.Series, signatures: pd.DataFrame, per_type: int = PER_TYPE
) -> pd.DataFrame:
    """Rank the genes that are higher in a type than in the mean of the others.

    Parameters
    ----------
    values
        CP10k (cells, genes), columns in the order of ``signatures.index``.
    cell_type
        Type per cell.
    signatures
        Mean CP10k (genes, types).
    per_type
        At most so many genes for each type.

    Returns
    -------
    DataFrame
        One row per type and gene: ``cell_type, gene, log2_fold_change, rank`` (1 is best), ``t`` (Welch, on
        log1p CP10k against all other cells), ``fraction`` of the type's cells that express it.
    """
    logged = values.copy()
    logged.data = np.log1p(logged.data)
    genes = signatures.index
    means = mean_by_type(logged, cell_type, genes).to_numpy()
    squares = mean_by_type(logged.multiply(logged).tocsr(), cell_type, genes).to_numpy()
    expressed = logged.copy()
    expressed.data = np.ones_like(expressed.data)
    fractions = mean_by_type(expressed, cell_type, genes).to_numpy()
    sizes = cell_type.astype(str).value_counts().reindex(signatures.columns).to_numpy()
    t = _welch(means, squares, sizes)

    level = np.log2(signatures.to_numpy() + PSEUDO)
    n_types = level.shape[1]
    change = level - (level.sum(axis=1, keepdims=True) - level) / max(n_types - 1, 1)
    tables = []
    for k, name in enumerate(signatures.columns):
        usable = (change[:, k] > 0) & (t[:, k] > MIN_T) & (fractions[:, k] >= MIN_FRACTION)
        candidates = np.flatnonzero(usable)
        best = candidates[np.argsort(-change[candidates, k], kind="stable")][:per_type]
        tables.append(
            pd.DataFrame(
                {
                    "cell_type": name,
                    "gene": genes[best],
                    "log2_fold_change": change[best, k],
                    "rank": np.arange(1, len(best) + 1),
                    "t": t[best, k],
                    "fraction": fractions[best, k],
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _welch(means: np.ndarray, squares: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Welch's t of each type against all other cells, from means and mean squares (genes, types)."""
    total = sizes.sum()
    rest = np.maximum(total - sizes, 1)
    rest_means = ((means * sizes).sum(axis=1, keepdims=True) - means * sizes) / rest
    rest_squares = ((squares * sizes).sum(axis=1, keepdims=True) - squares * sizes) / rest
    error = np.maximum(squares - means**2, 0) / sizes + np.maximum(rest_squares - rest_means**2, 0) / rest
    return (means - rest_means) / np.sqrt(error + 1e-12)
