"""Smoothing over the neighbourhood as steps of their own: of an embedding before clustering, of labels after it."""

import numpy as np
import pandas as pd

from tissuemake.domains.neighbors import neighborhood_mean


def smoothed_embedding(embedding: np.ndarray, positions: np.ndarray, radius_um: float) -> np.ndarray:
    """Mean (n, k) of each observation and all others within `radius_um`, all counted alike."""
    others = neighborhood_mean(embedding, positions, radius_um)
    share = 1 / neighborhood_size(positions, radius_um)[:, None]
    return share * embedding + (1 - share) * others


def neighborhood_size(positions: np.ndarray, radius_um: float) -> np.ndarray:
    """How many observations (n,) lie within `radius_um` of each, itself among them."""
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(positions).query_ball_point(positions, radius_um, return_length=True))


def smoothed_labels(labels: np.ndarray, positions: np.ndarray, radius_um: float) -> np.ndarray:
    """Give each observation the label that most within `radius_um` bear, itself among them.

    The refinement of SpaGCN and GraphST. It draws borders where single observations disagreed with all around
    them, and erases what is thinner than the radius: columns that went through it bear it in their name.

    Parameters
    ----------
    labels
        (n,) text; missing ones do not vote and stay missing.

    Returns
    -------
    numpy.ndarray
        (n,) labels; of as many votes, one's own counts, else the first by name.
    """
    codes, names = pd.factorize(np.asarray(labels, dtype=object), sort=True)
    given = codes >= 0
    votes = np.zeros((len(codes), len(names)))
    votes[np.flatnonzero(given), codes[given]] = 1.0
    size = neighborhood_size(positions, radius_um)[:, None]
    # A mean over the others, made a count of them; one's own vote weighs half as much more, which decides a draw.
    total = neighborhood_mean(votes, positions, radius_um) * np.maximum(size - 1, 0) + 1.5 * votes
    smoothed = np.full(len(codes), None, dtype=object)
    smoothed[given] = np.asarray(names, dtype=object)[total[given].argmax(axis=1)]
    return smoothed
