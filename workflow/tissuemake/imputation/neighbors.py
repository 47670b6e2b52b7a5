"""Predict a gene from the spot's other genes and those of the spots around it; needs no reference."""

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.spatial import cKDTree

from tissuemake.evaluation.held_out import assemble, deal, most_genes, score, variable_genes

COMPONENTS = 50
# Nearest spots of the first ring of a hexagonal lattice, and of the first two.
RINGS = (6, 18)
# Spots further away than so many nearest-neighbour distances (median) are no neighbours: holes, islands.
REACH = 4.0
ALPHAS = np.logspace(0, 4, 5)
# A ridge of 150 features is fitted on so many spots at most: of half a million bins all would take 7 GB and an hour.
SPOTS_TO_FIT = 40_000


def predict(spots: ad.AnnData, hidden: np.ndarray, *, folds: int = 5, seed: int = 0) -> ad.AnnData:
    """Predict the variable genes everywhere, each value by a model that was not shown it.

    Genes are dealt into folds, and spots too. For a fold of genes, the other genes give principal components
    of each spot and their means over one and two rings; a ridge from these is fitted on four fifths of the
    spots and predicts the rest. So a written value is a prediction for a gene hidden at that spot, and
    `held_out_r` of the genes in `hidden` is the score of just these values.

    Parameters
    ----------
    hidden
        Positions of the genes that are scored.
    """
    written = np.union1d(variable_genes(spots, most_genes(spots.n_obs)), hidden)
    genes = np.union1d(variable_genes(spots), written)
    expression = sp.csr_matrix(spots.X, dtype=np.float32)[:, genes]
    is_written = np.isin(genes, written)
    rings = [ring_means(np.asarray(spots.obsm["spatial"], dtype=float), size) for size in RINGS]
    gene_fold = deal(len(genes), folds, seed)
    spot_fold = deal(spots.n_obs, folds, seed + 1)
    values = np.tile(np.asarray(expression[:, is_written].mean(axis=0), dtype=np.float32), (spots.n_obs, 1))
    for fold in np.unique(gene_fold):
        hides = gene_fold == fold
        if hides.all():  # a single gene: there are no others to predict it from
            continue
        target = hides & is_written
        features = _features(expression[:, ~hides], rings, seed)
        predicted = _predict_fold(features, expression[:, target], spot_fold, seed)
        if predicted is not None:
            values[:, target[is_written]] = predicted
    # Log expression is not negative; the unclipped value carries no more.
    values = np.maximum(values, 0)
    scores = score(spots, hidden, values[:, np.searchsorted(written, hidden)])
    var = pd.DataFrame(
        {"gene_id": spots.var["gene_id"].to_numpy()[written], "measured": True},
        index=spots.var_names[written],
    )
    return assemble(spots, values, var, scores)


def _predict_fold(
    features: np.ndarray, measured: sp.csr_matrix, spot_fold: np.ndarray, seed: int
) -> np.ndarray | None:
    """Predict `measured` (spots, genes) from `features`, each fold of spots by the others; None for one fold."""
    from sklearn.linear_model import RidgeCV

    if not measured.shape[1] or len(np.unique(spot_fold)) < 2:
        return None
    predicted = np.empty(measured.shape, np.float32)
    for part in np.unique(spot_fold):
        test = spot_fold == part
        shown = np.flatnonzero(~test)
        if len(shown) > SPOTS_TO_FIT:
            shown = np.sort(np.random.default_rng(seed).choice(shown, SPOTS_TO_FIT, replace=False))
        model = RidgeCV(alphas=ALPHAS, alpha_per_target=True).fit(features[shown], measured[shown].toarray())
        predicted[test] = model.predict(features[test]).reshape(test.sum(), -1)
    return predicted


def ring_means(positions: np.ndarray, size: int) -> sp.csr_matrix:
    """Matrix (n, n) that averages over the `size` nearest spots, the spot itself left out."""
    n = len(positions)
    size = min(size, n - 1)
    if size < 1:
        return sp.csr_matrix((n, n))
    distance, index = cKDTree(positions).query(positions, k=size + 1)
    typical = np.median(distance[:, 1])
    near = (distance <= REACH * max(typical, 1e-12)) & (index != np.arange(n)[:, None])
    rows = np.repeat(np.arange(n), near.sum(axis=1))
    share = 1 / np.maximum(near.sum(axis=1), 1)
    return sp.csr_matrix((share[rows], (rows, index[near])), shape=(n, n))


def _features(others: sp.csr_matrix, rings: list[sp.csr_matrix], seed: int) -> np.ndarray:
    """Principal components of a spot's `others` genes and their ring means, the widest to unit variance."""
    from sklearn.decomposition import PCA

    size = min(COMPONENTS, *(np.array(others.shape) - 1))
    if size < 1:
        own = others.toarray() - others.mean(axis=0)
    else:
        # Arpack takes sparse expression and centres it on the way.
        own = PCA(size, svd_solver="arpack", random_state=seed).fit_transform(others)
    # One scale for all: leading components carry more, and ridge should not level them.
    blocks = [own, *(ring @ own for ring in rings)]
    features = np.concatenate(blocks, axis=1, dtype=np.float64)
    features /= max(float(own.std(axis=0).max()), 1e-12)
    return features
