"""Splits that never put one donor on both sides, nor, within a section, neighbouring spots."""

import numpy as np
import pandas as pd


def donor_folds(donors: pd.Series, n_folds: int, seed: int = 0) -> pd.Series:
    """Deal samples into folds by donor, folds as even as the donors allow.

    Parameters
    ----------
    donors
        Donor by sample. A sample without one (empty, NaN) is a donor of its own.
    n_folds
        At most; there are never more folds than donors.

    Returns
    -------
    Series
        Fold number, 0 to ``n_folds - 1``, by sample.
    """
    own = donors.astype(object).where(donors.notna(), "").astype(str)
    own = own.where(own != "", [f"sample:{name}" for name in donors.index])
    sizes = own.value_counts(sort=False)
    # Ties are broken at random, or the sheet's order would decide who is tested together.
    shuffled = sizes.iloc[np.random.default_rng(seed).permutation(len(sizes))]
    folds = np.zeros(max(min(n_folds, len(sizes)), 1), dtype=int)
    fold_of = {}
    for donor, size in shuffled.sort_values(ascending=False, kind="stable").items():
        fold_of[donor] = int(np.argmin(folds))
        folds[fold_of[donor]] += size
    return own.map(fold_of).rename("fold")


def train_and_test(donors: pd.Series, fold: int, n_folds: int, seed: int = 0) -> tuple[pd.Index, pd.Index]:
    """Samples to train on and to test on when `fold` is held out; they share no donor."""
    folds = donor_folds(donors, n_folds, seed)
    return folds.index[folds != fold], folds.index[folds == fold]


def spatial_blocks(positions: np.ndarray, n_folds: int, seed: int = 0) -> np.ndarray:
    """Deal the observations of one section into compact blocks, a fold each (n,): k-means of their positions.

    Neighbours resemble each other, so folds at random would let a method answer from the spot next door; whoever
    trains on the other blocks leaves out what `near_block` says as well.
    """
    from sklearn.cluster import KMeans

    n_folds = max(min(n_folds, len(positions)), 1)
    return KMeans(n_folds, n_init=4, random_state=seed).fit(np.asarray(positions, float)).labels_


def near_block(positions: np.ndarray, held_out: np.ndarray, buffer: float) -> np.ndarray:
    """Whether each observation (n,) is held out, or lies within `buffer` (unit of `positions`) of one that is."""
    from scipy.spatial import cKDTree

    positions = np.asarray(positions, float)
    if not held_out.any():
        return np.zeros(len(positions), bool)
    return cKDTree(positions[held_out]).query(positions)[0] <= buffer
