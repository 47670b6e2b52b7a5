"""Scores of predicted expression: per gene within a section, without what depth explains, and under the noise.

Depth is the great confounder: normalised log expression still follows the library size of a spot, and any picture
shows how many cells there are. So a correlation stands beside one with the library size taken out of the truth. No
prediction can follow the noise of counting: the ceiling says how far one could get.
"""

import numpy as np
import scipy.sparse as sp

from tissuemake.evaluation.metrics import pearson

TARGET = 1e4


def log_cp10k(counts: np.ndarray | sp.spmatrix, genes: np.ndarray | None = None) -> np.ndarray:
    """log1p of counts per 10,000 of *all* genes, dense (spots, genes), of the columns `genes` or all."""
    counts = sp.csr_matrix(counts, dtype=np.float64)
    total = np.maximum(np.asarray(counts.sum(axis=1)), 1)
    chosen = counts if genes is None else counts[:, genes]
    return np.log1p(chosen.toarray() * (TARGET / total))


def gene_correlations(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pearson r of every gene across the spots of one section; a prediction that is constant counts 0.

    Parameters
    ----------
    predicted, truth
        (spots, genes).

    Returns
    -------
    array
        (genes,), NaN where the truth does not vary.
    """
    return pearson(predicted, truth)


def without_depth(values: np.ndarray, total_counts: np.ndarray) -> np.ndarray:
    """What is left of `values` (spots, genes) once log library size, linear and square, is regressed out.

    Parameters
    ----------
    total_counts
        (spots,) counts over all genes of the section, not over the chosen ones.
    """
    depth = np.log(np.maximum(np.asarray(total_counts, dtype=np.float64), 1))
    depth = depth - depth.mean()
    basis = np.column_stack([np.ones_like(depth), depth, depth**2])
    values = np.asarray(values, dtype=np.float64)
    rest = values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]
    # Rounding must not stand for a signal where nothing is left.
    size = np.abs(values).max(axis=0, keepdims=True)
    return np.where(np.abs(rest).max(axis=0, keepdims=True) <= 1e-6 * (size + 1e-300), 0.0, rest)


def depth_adjusted_correlations(
    predicted: np.ndarray, truth: np.ndarray, total_counts: np.ndarray, *, both: bool = False
) -> np.ndarray:
    """As `gene_correlations`, with what the library size explains taken out of the truth.

    Out of the truth alone (the default, a semipartial correlation) is the stricter score: what a prediction says of
    depth no longer helps it, and still counts as error. With `both` it is taken out of the prediction too (a
    partial correlation), which is never smaller in size.
    """
    left = without_depth(predicted, total_counts) if both else predicted
    return pearson(left, without_depth(truth, total_counts))


def noise_ceiling(
    counts: np.ndarray | sp.spmatrix,
    genes: np.ndarray,
    *,
    splits: int = 5,
    seed: int = 0,
    depth_adjusted: bool = False,
) -> np.ndarray:
    """The largest Pearson r that a prediction without any error would reach, per gene, by count splitting.

    Every molecule falls into one of two halves (binomial thinning), so that they share the expression and not the
    noise. Their correlation, mean over `splits`, gives the reliability of the whole by Spearman-Brown,
    ``2 r / (1 + r)``; its square root is the correlation of the measured values with the expression behind them.

    Parameters
    ----------
    counts
        (spots, all genes) raw counts of one section.
    genes
        Positions of the genes asked for.
    depth_adjusted
        Of the truth without what the library size explains.

    Returns
    -------
    array
        (genes,); 0 where the halves do not agree at all, NaN where a gene does not vary.
    """
    counts = sp.csr_matrix(counts)
    whole = np.rint(counts.data).astype(np.int64)
    total = np.asarray(counts.sum(axis=1)).ravel()
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(splits):
        first = rng.binomial(whole, 0.5)
        halves = [
            log_cp10k(sp.csr_matrix((part, counts.indices, counts.indptr), counts.shape), genes)
            for part in (first, whole - first)
        ]
        if depth_adjusted:
            halves = [without_depth(half, total) for half in halves]
        # A half without a single molecule of the gene is as good as no agreement.
        found.append(np.nan_to_num(pearson(*halves)))
    half = np.mean(found, axis=0)
    reliability = np.clip(2 * half / (1 + np.maximum(half, 0)), 0, 1)
    varies = np.asarray(counts[:, genes].max(axis=0).todense()).ravel() > 0
    return np.where(varies, np.sqrt(reliability), np.nan)
