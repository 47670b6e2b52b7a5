"""Score what was read off the stained image alone: predicted genes and tumour, each beside what knows no image."""

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.evaluation import metrics
from tissuemake.evaluation.expression_metrics import gene_correlations
from tissuemake.evaluation.scores import Scores

log = logging.getLogger(__name__)

VALUES_AT_ONCE = 10_000_000


def from_image(prediction: ad.AnnData) -> bool:
    """Whether genes were predicted from tiles and not from other genes: the record names an encoder."""
    return bool(prediction.uns["tissuemake"].get("encoder"))


def expression(predicted: Mapping[str, ad.AnnData], filtered: ad.AnnData) -> Scores:
    """(method, metric, value): median over genes of the correlation within the section, by encoder.

    ``held_out_r`` and ``held_out_r_depth_adjusted`` are those of the file: the head saw no spot of the donor.
    Baselines on all genes that any encoder was scored on: ``library_size``, the log of a spot's counts over all
    genes, which is what the adjustment takes out and so scores 0 there, and ``gene_mean``, which is constant.
    """
    scores: Scores = []
    scored: set[str] = set()
    for encoder, table in predicted.items():
        held = table.var["held_out_r"].dropna()
        if held.empty:
            log.warning(
                "Expression by %s is not scored: head or encoder saw the donor, or none was measured.",
                encoder,
            )
            continue
        scored |= set(held.index)
        scores += [
            (encoder, "held_out_r", held.median()),
            (encoder, "held_out_r_depth_adjusted", table.var["held_out_r_depth_adjusted"].median()),
            (encoder, "held_out_genes", float(len(held))),
        ]
    genes = np.flatnonzero(filtered.var_names.isin(scored))
    if len(genes):
        depth = _log_depth(filtered)[:, None]
        each = _by_block(
            len(genes),
            filtered.n_obs,
            lambda part: gene_correlations(
                np.repeat(depth, len(genes[part]), axis=1), _dense(filtered.X[:, genes[part]])
            ),
        )
        scores += [
            ("library_size", "held_out_r", _median(each)),
            ("library_size", "held_out_r_depth_adjusted", 0.0),
            ("gene_mean", "held_out_r", 0.0),
            ("gene_mean", "held_out_r_depth_adjusted", 0.0),
        ]
    for left, right in combinations(predicted, 2):
        found = _agreement(predicted[left], predicted[right])
        scores += [(left, f"agreement_with[{right}]", found), (right, f"agreement_with[{left}]", found)]
    return scores


def _agreement(left: ad.AnnData, right: ad.AnnData) -> float:
    """Median over shared genes of the correlation of two predictions, on the spots that both have a tile for."""
    genes = left.var_names.intersection(right.var_names)
    spots = left.obs_names.intersection(right.obs_names)
    if genes.empty or len(spots) < 3:
        return float("nan")
    # A row without a tile has no value at all.
    spots = spots[
        np.logical_and(*(np.isfinite(_dense(table[spots, genes[:1]].X)[:, 0]) for table in (left, right)))
    ]
    if len(spots) < 3:
        return float("nan")
    each = _by_block(
        len(genes),
        len(spots),
        lambda part: metrics.pearson(*(_dense(table[spots, genes[part]].X) for table in (left, right))),
    )
    return _median(each)


def tumor(
    tables: Mapping[str, pd.DataFrame],
    filtered: ad.AnnData,
    labels: pd.Series,
    tumor_labels: Sequence[str],
    ignored_labels: Sequence[str] = (),
) -> Scores:
    """(method, metric, value) for probabilities of tumour against a pathologist's labels.

    ``auroc``, ``auprc``, ``spots`` and ``tumor_spots``, on labelled spots with a tile whose label the head did not
    see (column ``seen`` is False); without such spots of both kinds a method has no rows. Baselines on the same
    spots: ``prevalence``, the same probability everywhere, and ``library_size``: the more counts, the more tumour.

    Parameters
    ----------
    labels
        Label by barcode, of the spots that have one.
    tumor_labels
        Those that are tumour; empty: those that the head of each file was taught.
    ignored_labels
        Those that say neither.
    """
    labels = labels[~labels.isin(list(ignored_labels))]
    scores: Scores = []
    judged: dict[str, pd.Series] = {}
    for encoder, table in tables.items():
        asked = _unseen(encoder, table, labels)
        given = list(tumor_labels) or [str(name) for name in _taught(table)]
        truth = labels[asked].isin(given)
        if truth.nunique() < 2:
            log.warning("Tumour by %s is not scored: %d spots, of one kind or none.", encoder, len(truth))
            continue
        judged[encoder] = truth
        scores += _ranking(encoder, table.loc[asked, "probability"], truth)
    if judged:
        # Encoders see the same tiles; where one lacks some, the baselines are of all that any was asked.
        truth = pd.concat(judged.values())
        truth = truth[~truth.index.duplicated()]
        depth = pd.Series(_log_depth(filtered), index=filtered.obs_names)
        scores += _ranking("prevalence", truth * 0.0 + truth.mean(), truth)
        scores += _ranking("library_size", depth[truth.index], truth)
    return scores


def _unseen(encoder: str, table: pd.DataFrame, labels: pd.Series) -> pd.Index:
    """Labelled spots with a probability from a head that did not see them."""
    if "seen" not in table:
        log.warning("Tumour by %s is not scored: the file does not say what its head saw.", encoder)
        return labels.index[:0]
    usable = table.index[table["probability"].notna() & ~table["seen"].astype(bool)]
    return labels.index[labels.index.isin(usable)]


def _taught(table: pd.DataFrame) -> Sequence[str]:
    return table.attrs.get("tissuemake", {}).get("tumor_labels", ())


def _ranking(method: str, probability: pd.Series, truth: pd.Series) -> Scores:
    found, known = probability.to_numpy(float)[:, None], truth.to_numpy(float)[:, None]
    return [
        (method, "auroc", metrics.presence_rank(found, known)),
        (method, "auprc", metrics.presence_precision(found, known)),
        (method, "spots", float(len(truth))),
        (method, "tumor_spots", float(truth.sum())),
    ]


def _by_block(n_genes: int, n_spots: int, correlations: Callable[[slice], np.ndarray]) -> np.ndarray:
    """`correlations` (genes,), asked for some genes at a time: of bins a dense matrix of all would fill memory."""
    size = max(1, VALUES_AT_ONCE // max(n_spots, 1))
    return np.concatenate([correlations(slice(at, at + size)) for at in range(0, n_genes, size)])


def _log_depth(filtered: ad.AnnData) -> np.ndarray:
    return np.log(np.maximum(np.asarray(filtered.layers["counts"].sum(axis=1)).ravel(), 1))


def _median(values: np.ndarray) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")


def _dense(values) -> np.ndarray:
    return values.toarray() if sp.issparse(values) else np.asarray(values)
