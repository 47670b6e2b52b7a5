"""Ground floor: which genes vary, from sparse expression that is never made dense."""

import numpy as np
import scipy.sparse as sp

# Values of a sparse matrix whose deviations are held at once: 130 MB.
BLOCK = 1 << 24


def column_variance(values: sp.spmatrix | np.ndarray) -> np.ndarray:
    """Variance of each column (gene) over rows, summed in double precision.

    Of sparse values it is that of scikit-learn's `mean_variance_axis`, whose import takes longer than a small sample.
    """
    if not sp.issparse(values):
        return np.asarray(values).var(axis=0, dtype=np.float64)
    values = sp.csr_matrix(values)
    rows, columns = values.shape
    sums, squares, stored = (np.zeros(columns) for _ in range(3))
    blocks = [slice(start, start + BLOCK) for start in range(0, values.nnz, BLOCK)]
    for block in blocks:
        sums += np.bincount(values.indices[block], values.data[block], columns)
        stored += np.bincount(values.indices[block], minlength=columns)
    means = sums / rows
    for block in blocks:
        deviations = values.data[block] - means[values.indices[block]]
        squares += np.bincount(values.indices[block], deviations**2, columns)
    return (squares + (rows - stored) * means**2) / rows


def most_variable(values: sp.spmatrix | np.ndarray, n: int) -> np.ndarray:
    """Positions of the `n` columns with the largest variance, in their order; constant ones never."""
    variance = column_variance(values)
    ranked = np.argsort(-variance, kind="stable")[:n]
    return np.sort(ranked[variance[ranked] > 1e-9])
