"""Ground floor: which genes vary, from sparse expression that is never made dense."""

import numpy as np
import scipy.sparse as sp


def column_variance(values: sp.spmatrix | np.ndarray) -> np.ndarray:
    """Variance of each column (gene) over rows, summed in double precision."""
    if not sp.issparse(values):
        return np.asarray(values).var(axis=0, dtype=np.float64)
    from sklearn.utils.sparsefuncs import mean_variance_axis

    return mean_variance_axis(sp.csr_matrix(values), axis=0)[1].astype(np.float64)


def most_variable(values: sp.spmatrix | np.ndarray, n: int) -> np.ndarray:
    """Positions of the `n` columns with the largest variance, in their order; constant ones never."""
    variance = column_variance(values)
    ranked = np.argsort(-variance, kind="stable")[:n]
    return np.sort(ranked[variance[ranked] > 1e-9])
