"""How far two deconvolutions of one tissue agree, by spot and by type. Agreement is no truth."""

import numpy as np
import pandas as pd

from tissuemake.contracts import known_shares

# The plain least squares that every other method stands beside.
BASE_METHOD = "nnls"


def overlap(table: pd.DataFrame, base: pd.DataFrame) -> pd.Series:
    """Return per spot the share that both methods give to the same types (1 - half the summed differences)."""
    left, right = _aligned(table, base)
    return (1 - (left - right).abs().sum(axis=1, skipna=False) / 2).clip(0, 1)


def by_type(table: pd.DataFrame, base: pd.DataFrame) -> pd.DataFrame:
    """Return a row per type (index), the most abundant in `base` first.

    Columns: ``share`` and ``base_share`` (means), ``r`` (Pearson over spots; NaN where a method is constant),
    ``rmse``.
    """
    left, right = _aligned(table, base)
    found = pd.DataFrame(
        {
            "share": left.mean(),
            "base_share": right.mean(),
            "r": [_correlation(left[name], right[name]) for name in left],
            "rmse": np.sqrt(((left - right) ** 2).mean()),
        }
    )
    return found.sort_values("base_share", ascending=False, kind="stable")


def _correlation(left: pd.Series, right: pd.Series) -> float:
    both = left.notna() & right.notna()
    if both.sum() < 3 or np.ptp(left[both]) < 1e-12 or np.ptp(right[both]) < 1e-12:
        return np.nan
    return float(np.corrcoef(left[both], right[both])[0, 1])


def _aligned(table: pd.DataFrame, base: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both compositions over the same spots and the union of types; a type one lacks is 0 there."""
    left, right = known_shares(table), known_shares(base).reindex(table.index)
    names = list(dict.fromkeys([*right.columns, *left.columns]))
    return left.reindex(columns=names, fill_value=0.0), right.reindex(columns=names, fill_value=0.0)
