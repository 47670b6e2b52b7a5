"""What a spot's own tile shows, as components for clustering: alone, and joined with those of expression."""

from pathlib import Path

import numpy as np
import pandas as pd

from tissuemake.contracts import EMBEDDINGS, read_anndata

# As many as of expression: what differs then is what was looked at.
COMPONENTS = 15


def read_tile_vectors(embeddings: Path, barcodes: pd.Index) -> tuple[np.ndarray, np.ndarray]:
    """Find the vector of the tile around each spot.

    Bins and cells have no tile of their own, and the grid tile they lie in shows a hundred others: they count as
    unseen.

    Parameters
    ----------
    embeddings
        Contract EMBEDDINGS; a file without spot tiles leaves every spot unseen.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        float32 (seen spots, features) and bool (spots,): which those are.
    """
    tiles = read_anndata(embeddings, EMBEDDINGS)
    own = np.flatnonzero(tiles.obs["kind"] == "spot")
    found = tiles.obs_names[own].get_indexer(barcodes)
    vectors = np.asarray(tiles.X, dtype=np.float32)[own[found[found >= 0]]]
    complete = np.isfinite(vectors).all(axis=1)
    seen = found >= 0
    seen[np.flatnonzero(seen)[~complete]] = False
    return vectors[complete], seen


def image_embedding(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the first 15 principal components (n, ≤ 15) of standardised features.

    Standardised, because features of one encoder come in units of their own (a colour in 0 to 1, a count of
    nuclei); what does not vary in this sample is left out.
    """
    from sklearn.decomposition import PCA

    spread = vectors.std(axis=0, dtype=np.float64)
    kept = spread > 1e-6 * np.abs(vectors).max(axis=0, initial=0)
    n_components = min(COMPONENTS, len(vectors) - 1, int(kept.sum()))
    if n_components < 1:
        return np.zeros((len(vectors), 1))
    standard = (vectors[:, kept] - vectors[:, kept].mean(axis=0, dtype=np.float64)) / spread[kept]
    return PCA(n_components, svd_solver="full", random_state=seed).fit_transform(standard)


def join_blocks(*blocks: np.ndarray) -> np.ndarray:
    """Put blocks of components side by side, each scaled to a total variance of 1.

    Block scaling of multiblock PCA (Westerhuis, Kourti & MacGregor, Journal of Chemometrics 1998): distances
    between spots then owe as much to each block, however many features it has and in whatever units. Log
    expression has a total variance of some tens, standardised features one for each of them, several hundred.
    """
    scaled = []
    for block in blocks:
        total = block.var(axis=0).sum()
        scaled.append(block / np.sqrt(total) if total > 0 else block)
    return np.hstack(scaled)
