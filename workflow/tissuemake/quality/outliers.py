"""Spots that stand out from their own neighbours: bubbles, folds, missed permeabilisation."""

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

NEIGHBORS = 36  # three rings of a hexagonal lattice, as in Totty et al. 2025
# Metric → (sign of trouble, on the log scale, smallest spread that counts as spread).
TROUBLE = {
    "total_counts": (-1, True, 0.2),
    "n_genes_by_counts": (-1, True, 0.2),
    "pct_counts_mt": (1, False, 2.0),
}
BLOCK = 100_000


def local_scores(obs: pd.DataFrame, spatial: np.ndarray) -> pd.DataFrame:
    """Robust z-scores of each spot's quality against its 36 nearest neighbours.

    Follows SpotSweeper (Totty et al., Nature Methods 2025): modified z = (x - median) / (1.4826 MAD), both
    over the neighbourhood, for log counts, log genes and the mitochondrial share. Signs are turned so that
    large means bad.

    Parameters
    ----------
    obs
        Quality columns, n spots.
    spatial
        (n, 2) coordinates in any unit.

    Returns
    -------
    pandas.DataFrame
        Index of `obs`; a column ``local_outlier_METRIC`` per metric that `obs` has. Zeros when there are
        fewer spots than a neighbourhood holds.
    """
    metrics = [metric for metric in TROUBLE if metric in obs]
    scores = pd.DataFrame(0.0, index=obs.index, columns=[f"local_outlier_{metric}" for metric in metrics])
    if len(obs) <= NEIGHBORS + 1:
        return scores
    tree = cKDTree(spatial)
    for start in range(0, len(obs), BLOCK):
        rows = slice(start, start + BLOCK)
        _, near = tree.query(spatial[rows], k=NEIGHBORS + 1)
        for column, metric in enumerate(metrics):
            scores.iloc[rows, column] = _scores(obs[metric].to_numpy(float), rows, near, *TROUBLE[metric])
    return scores


def _scores(values: np.ndarray, rows: slice, near: np.ndarray, sign: int, log: bool, least: float):
    values = np.log1p(values) if log else values
    around = values[near[:, 1:]]
    median = np.median(around, axis=1)
    spread = 1.4826 * np.median(np.abs(around - median[:, None]), axis=1)
    # In a very even neighbourhood any ripple would be many MADs. With these least spreads a spot is at three
    # MADs only with 45 % fewer counts, or 6 points more mitochondrial share, than its neighbours' median.
    return sign * (values[rows] - median) / np.maximum(spread, least)
