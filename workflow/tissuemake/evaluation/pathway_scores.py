"""Score pathways that were read off the image against those of measured expression, beside what knows no image."""

import logging
from collections.abc import Mapping

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.evaluation import metrics
from tissuemake.evaluation.scores import Scores

log = logging.getLogger(__name__)

FEWEST_SPOTS = 10


def pathways(predicted: Mapping[str, pd.DataFrame], measured: pd.DataFrame, filtered: ad.AnnData) -> Scores:
    """(method, metric, value): mean over pathways of the correlation over the spots of the section.

    ``held_out_r`` and ``held_out_r_depth_adjusted`` (log library size taken out of both sides), also of each pathway
    by name; ``variance_share``: median variance of the prediction over that of the measurement, 0 where a model says
    the same everywhere. A model that was pretrained on tissue of the donor, or that reads the spots' own expression, is
    not scored. Baselines: ``library_size``, the log of a spot's counts, which the adjustment takes out, and
    ``section_mean``, which is constant.

    Parameters
    ----------
    predicted
        By model, contract PATHWAYS; rows without a tile are NaN.
    measured
        Contract PATHWAYS.
    """
    depth = np.log1p(pd.Series(np.asarray(filtered.layers["counts"].sum(axis=1)).ravel(), filtered.obs_names))
    scores: Scores = []
    judged: dict[str, np.ndarray] = {}
    for method, table in predicted.items():
        record = table.attrs.get("tissuemake", {})
        if record.get("pretrained_on_this_donor") or record.get("reads_expression"):
            log.warning(
                "Pathways by %s are not scored: it was pretrained on this donor, or reads counts.", method
            )
            continue
        names = [name for name in measured if name in table]
        spots = table.index[table[names].notna().all(axis=1) & table.index.isin(measured.index)]
        if not names or len(spots) < FEWEST_SPOTS:
            log.warning("Pathways by %s are not scored: %d spots, %d sets.", method, len(spots), len(names))
            continue
        said, truth = (part.loc[spots, names].to_numpy(np.float64) for part in (table, measured))
        given = depth[spots].to_numpy()
        plain, adjusted = metrics.pearson(said, truth), metrics.partial_pearson(said, truth, given)
        scores += [
            (method, "held_out_r", _mean(plain)),
            (method, "held_out_r_depth_adjusted", _mean(adjusted)),
            (method, "variance_share", _ratio(said, truth)),
            (method, "pathways", float(len(names))),
        ]
        scores += [
            (method, f"held_out_r_depth_adjusted[{name}]", float(value))
            for name, value in zip(names, adjusted, strict=True)
        ]
        judged["library_size"] = metrics.pearson(np.repeat(given[:, None], len(names), axis=1), truth)
    if judged:
        scores += [
            ("library_size", "held_out_r", _mean(judged["library_size"])),
            ("library_size", "held_out_r_depth_adjusted", 0.0),
            ("section_mean", "held_out_r", 0.0),
            ("section_mean", "held_out_r_depth_adjusted", 0.0),
        ]
    return scores


def _mean(values: np.ndarray) -> float:
    """A pathway that does not vary counts as not found."""
    return float(np.nan_to_num(values).mean())


def _ratio(said: np.ndarray, truth: np.ndarray) -> float:
    varies = truth.var(axis=0) > 1e-12
    return float(np.median(said.var(axis=0)[varies] / truth.var(axis=0)[varies])) if varies.any() else np.nan
