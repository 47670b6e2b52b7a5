"""Which quality values are too low or too high: robust statistics, floors of the assay, the user's word."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tissuemake.errors import InputError
from tissuemake.sheets import nearest

# Global limits are wide on purpose: fat and necrosis are biology. Spots that stand out from their
# neighbours are found by `outliers`.
MADS = 4.0
# With this many times the floor a spot is usable however deep its neighbours were sequenced.
ENOUGH = 5.0
LOCAL_MADS = 3.0  # the cutoff of Totty et al. 2025
LEAST_UPPER_PCT = {"max_pct_mt": 20.0, "max_pct_control": 10.0}
METRIC = {
    "min_counts": "total_counts",
    "max_counts": "total_counts",
    "min_genes": "n_genes_by_counts",
    "max_pct_mt": "pct_counts_mt",
    "max_pct_control": "pct_control",
}
KNOWN = (*METRIC, "local_outlier_mads")


@dataclass(frozen=True)
class Threshold:
    """A limit, where it comes from (``robust``, ``floor`` or ``config``), and the metric's median."""

    value: float
    source: str
    median: float


def floors(observation: str, n_genes: int, pitch_um: float) -> dict[str, float]:
    """The fewest counts and genes that make an observation worth keeping.

    A spot of a whole-transcriptome assay needs 200 counts and 100 genes; a panel of fewer than 10,000 genes
    proportionally less. A cell needs 10 transcripts (what 10x Genomics advise for Xenium). A bin needs 10
    counts at 8 µm and in proportion to its area at other sizes.
    """
    share = min(1.0, n_genes / 10_000)
    if observation == "cell":
        counts, genes = 10, 3
    elif observation == "bin":
        area = (pitch_um or 8.0) ** 2 / 64
        counts, genes = max(1, round(10 * area)), max(1, round(5 * area))
    else:
        counts, genes = max(10, round(200 * share)), max(3, round(100 * share))
    # A panel of a handful of genes cannot show three of them everywhere.
    return {"min_counts": float(counts), "min_genes": float(min(genes, max(1, n_genes // 10)))}


def decide(obs: pd.DataFrame, floor: dict[str, float], overrides: dict | None) -> dict[str, Threshold]:
    """Thresholds by name, for the metrics that `obs` has.

    Parameters
    ----------
    obs
        Quality columns of the spots under tissue.
    floor
        From `floors`.
    overrides
        Values from the config; None or absent means: decide by median ± 4 MAD (lower limits on the log
        scale, between the assay's floor and `ENOUGH` times it; shares never below `LEAST_UPPER_PCT`).

    Raises
    ------
    InputError
        ``unknown_threshold``, ``bad_threshold``.
    """
    given = _checked(overrides or {})
    found = {}
    for name, metric in METRIC.items():
        if metric not in obs:
            continue
        values = obs[metric].to_numpy(float)
        median = float(np.median(values)) if len(values) else 0.0
        if name in given:
            found[name] = Threshold(given[name], "config", median)
        elif name in floor:
            robust = min(lower_limit(values), ENOUGH * floor[name])
            source = "robust" if robust > floor[name] else "floor"
            found[name] = Threshold(round(max(robust, floor[name]), 1), source, median)
        elif name in LEAST_UPPER_PCT:
            robust = upper_limit(values)
            source = "robust" if robust > LEAST_UPPER_PCT[name] else "floor"
            found[name] = Threshold(round(max(robust, LEAST_UPPER_PCT[name]), 2), source, median)
    return found


def lower_limit(values: np.ndarray, mads: float = MADS) -> float:
    """Median - `mads` median absolute deviations of the positive values, on the log scale."""
    logs = np.log1p(values[values > 0])
    if logs.size == 0:
        return 0.0
    return float(np.expm1(np.median(logs) - mads * scaled_mad(logs)))


def upper_limit(values: np.ndarray, mads: float = MADS) -> float:
    """Median + `mads` median absolute deviations."""
    return float(np.median(values) + mads * scaled_mad(values)) if len(values) else 0.0


def scaled_mad(values: np.ndarray) -> float:
    """Median absolute deviation, times 1.4826: the standard deviation if the values were normal."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _checked(overrides: dict) -> dict[str, float]:
    given = {}
    for name, value in overrides.items():
        if name not in KNOWN:
            raise InputError(
                "unknown_threshold",
                f"The config's filter key '{name}' is unknown.",
                f"Did you mean '{nearest(name, KNOWN)}'? Known: {', '.join(KNOWN)}.",
            )
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
            raise InputError(
                "bad_threshold",
                f"The config's filter key '{name}' is '{value}', not a number of at least 0.",
                "Give a number, or leave the key out to have it decided from the data.",
            )
        given[name] = float(value)
    return given
