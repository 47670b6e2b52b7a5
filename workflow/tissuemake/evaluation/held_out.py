"""Which genes are hidden, how they are dealt into folds, and how a hidden gene's prediction is scored."""

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.evaluation.metrics import partial_pearson, pearson
from tissuemake.expression import column_variance

MOST_GENES = 2000
# Predictions are dense: of 50,000 spots all 2,000 genes are written, of 500,000 bins 200 (0.4 GB either way).
MOST_VALUES = 100_000_000
# Measured and predicted values that are compared at once; several arrays of such a size are held.
SCORED_AT_ONCE = 10_000_000
# Benchmarks hide genes of the thousand most variable; beyond them noise is most of what there is to predict.
HIDDEN_AMONG = 1000
# A gene seen in fewer spots than this has no pattern to predict.
FEWEST_SPOTS = 10
FEWEST_FRACTION = 0.02


def variable_genes(spots: ad.AnnData, most: int = MOST_GENES) -> np.ndarray:
    """Positions of the `most` genes with the largest variance of log1p CP10k, sorted.

    Genes seen in fewer than 2% of the spots, or in fewer than ten, are left out.
    """
    seen = np.asarray((sp.csr_matrix(spots.X) > 0).sum(axis=0)).ravel()
    enough = np.flatnonzero(seen >= max(FEWEST_SPOTS, FEWEST_FRACTION * spots.n_obs))
    variance = column_variance(spots.X)
    return np.sort(enough[np.argsort(-variance[enough], kind="stable")[:most]])


def most_genes(n_spots: int) -> int:
    """How many genes are predicted in so many spots."""
    return int(np.clip(MOST_VALUES // max(n_spots, 1), 1, MOST_GENES))


def choose(spots: ad.AnnData, n_genes: int, seed: int) -> np.ndarray:
    """Positions of `n_genes` random genes among the 1,000 most variable, sorted; fewer if there are fewer."""
    candidates = variable_genes(spots, HIDDEN_AMONG)
    rng = np.random.default_rng(seed)
    return np.sort(rng.permutation(candidates)[: min(n_genes, len(candidates))])


def deal(n: int, folds: int, seed: int) -> np.ndarray:
    """A fold number for each of `n` things, folds of equal size, in random order."""
    return np.random.default_rng(seed).permutation(np.arange(n) % max(min(folds, n), 1))


def score(spots: ad.AnnData, genes: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    """Score predictions of hidden genes within the section.

    Parameters
    ----------
    genes
        Positions in `spots`.
    predicted
        (spots, genes), in that order.

    Returns
    -------
    DataFrame
        Index gene; ``held_out_r``: correlation across spots with the measured log1p CP10k;
        ``held_out_r_depth_adjusted``: the same with the log library size, counted without that gene,
        regressed out of both.
    """
    counts = sp.csr_matrix(spots.layers["counts"])
    total = np.asarray(counts.sum(axis=1))
    # Genes are scored apart, so that a few at a time make dense what half a million bins hold.
    wide = max(1, SCORED_AT_ONCE // max(spots.n_obs, 1))
    blocks = [slice(start, start + wide) for start in range(0, len(genes), wide)]
    scores = [_score(spots.X, counts, total, genes[block], predicted[:, block]) for block in blocks]
    names = ("held_out_r", "held_out_r_depth_adjusted")
    return pd.DataFrame(
        {
            name: np.concatenate([np.zeros(0), *(found[i] for found in scores)])
            for i, name in enumerate(names)
        },
        index=spots.var_names[genes],
    )


def _score(log_counts, counts, total, genes, predicted) -> tuple[np.ndarray, np.ndarray]:
    """Plain and depth-adjusted correlation of `predicted` with the measured `genes`."""
    measured = log_counts[:, genes]
    measured = measured.toarray() if sp.issparse(measured) else np.asarray(measured)
    depth = np.log1p(np.maximum(total - counts[:, genes].toarray(), 0))
    return pearson(predicted, measured), partial_pearson(predicted, measured, depth)


def assemble(spots: ad.AnnData, values: np.ndarray, var: pd.DataFrame, scores: pd.DataFrame) -> ad.AnnData:
    """Predictions as an AnnData: `values` (spots, genes) float32, `var` with gene_id and measured, scores."""
    imputed = ad.AnnData(
        np.asarray(values, dtype=np.float32), obs=pd.DataFrame(index=spots.obs_names), var=var
    )
    for column in ("held_out_r", "held_out_r_depth_adjusted"):
        imputed.var[column] = scores[column].reindex(imputed.var_names).to_numpy(float)
    return imputed
