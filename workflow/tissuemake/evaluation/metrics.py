"""Scores of compositions, expression and domains against a truth; each says over what it averages.

Compositions follow Li et al. 2022 (Nat. Methods 19, 662): correlation per type across spots; RMSE and
Jensen-Shannon distance per spot across types.
"""

import numpy as np
import pandas as pd


def pearson(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Correlation of matching columns of two (n, k) arrays; NaN where the right one is constant.

    A constant left column (a prediction that claims nothing) correlates 0 with anything that varies.
    """
    left = np.asarray(left, dtype=np.float64)
    right = np.asarray(right, dtype=np.float64)
    left = left - left.mean(axis=0)
    right = right - right.mean(axis=0)
    left_size = np.sqrt((left**2).sum(axis=0))
    right_size = np.sqrt((right**2).sum(axis=0))
    # A constant column is only zero up to rounding once its mean is taken off.
    scale = np.sqrt(len(left)) * 1e-12
    flat_left, flat_right = left_size <= scale, right_size <= scale
    product = (left * right).sum(axis=0) / np.where(flat_left | flat_right, 1, left_size * right_size)
    return np.where(flat_right, np.nan, np.where(flat_left, 0.0, product))


def pearson_by_type(found: pd.DataFrame, truth: pd.DataFrame) -> pd.Series:
    """Correlation across spots of every type of `truth` that varies; a type not in `found` counts as 0."""
    varying = [name for name in truth if truth[name].nunique() > 1]
    values = found.reindex(index=truth.index, columns=varying).fillna(0.0)
    return pd.Series(pearson(values.to_numpy(), truth[varying].to_numpy()), index=varying, dtype=float)


def rmse(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean over rows (spots) of the root mean square difference across columns (types)."""
    return float(np.sqrt(((found - truth) ** 2).mean(axis=1)).mean())


def jensen_shannon(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean over rows of the Jensen-Shannon distance (square root of the divergence, base 2): 0 to 1.

    Rows are made to sum to 1 first; Li et al. 2022 report ``scipy.spatial.distance.jensenshannon`` as JSD.
    """
    p = found / np.maximum(found.sum(axis=1, keepdims=True), 1e-300)
    q = truth / np.maximum(truth.sum(axis=1, keepdims=True), 1e-300)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return float(np.sqrt(np.clip(divergence, 0, None)).mean())


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    ratio = np.divide(p, q, out=np.ones_like(p), where=(p > 0) & (q > 0))
    return (p * np.log2(ratio)).sum(axis=1)


def presence_precision(found: np.ndarray, truth: np.ndarray) -> float:
    """Area under the precision-recall curve of "this type is in this spot", over all pairs (AUPR).

    NaN where every pair is present, or none.
    """
    from sklearn.metrics import average_precision_score

    present = np.asarray(truth).ravel() > 0
    if present.all() or not present.any():
        return float("nan")
    return float(average_precision_score(present, np.asarray(found).ravel()))


def presence_rank(found: np.ndarray, truth: np.ndarray) -> float:
    """Area under the ROC curve of "there is any of it": 0.5 by chance. NaN where every row has some, or none."""
    from sklearn.metrics import roc_auc_score

    present = np.asarray(truth).ravel() > 0
    if present.all() or not present.any():
        return float("nan")
    return float(roc_auc_score(present, np.asarray(found).ravel()))


def partial_pearson(left: np.ndarray, right: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Correlation of matching columns with the variable(s) `given` regressed out of both.

    Parameters
    ----------
    left, right
        (n, k).
    given
        (n,) for all columns, or (n, k): one for each.
    """
    given = np.asarray(given, dtype=np.float64)
    given = given[:, None] if given.ndim == 1 else given
    return pearson(_residual(left, given), _residual(right, given))


def _residual(values: np.ndarray, given: np.ndarray) -> np.ndarray:
    centred = given - given.mean(axis=0)
    values = values - values.mean(axis=0)
    slope = (centred * values).sum(axis=0) / np.maximum((centred**2).sum(axis=0), 1e-300)
    rest = values - centred * slope
    # Rounding, of single precision too, must not stand for a signal where nothing is left.
    return np.where(np.abs(rest).max(axis=0) <= 1e-5 * (np.abs(values).max(axis=0) + 1e-300), 0.0, rest)


def adjusted_rand(found: np.ndarray, truth: np.ndarray) -> float:
    """Adjusted Rand index of two labellings: 0 expected by chance, 1 the same partition."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(truth, found))


def mutual_information(found: np.ndarray, truth: np.ndarray) -> float:
    """Normalised mutual information (arithmetic mean of the entropies) of two labellings."""
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(truth, found))
