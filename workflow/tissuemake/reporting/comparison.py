"""Methods beside the plain least squares: agreement by type and by spot, for reading."""

import numpy as np
import pandas as pd

from tissuemake.contracts import SD_SUFFIX, UNKNOWN, known_shares, type_columns
from tissuemake.reporting import charts, figures
from tissuemake.reporting.agreement import BASE_METHOD, by_type, overlap

TYPES_DRAWN = 12


def compare_methods(proportions: dict[str, pd.DataFrame], noun: str) -> list[dict]:
    """Return a comparison with `BASE_METHOD` for each other method; none where that did not run.

    `noun` is what the rows are, in the plural: spots, bins or cells.
    """
    base = proportions.get(BASE_METHOD)
    if base is None:
        return []
    return [
        compare(method, table, base, noun) for method, table in proportions.items() if method != BASE_METHOD
    ]


def compare(method: str, table: pd.DataFrame, base: pd.DataFrame, noun: str) -> dict:
    """Return numbers, a table by type, a histogram by spot and small scatter plots of one method."""
    types = by_type(table, base)
    shared = overlap(table, base)
    left, right = known_shares(table), known_shares(base).reindex(table.index)
    zero = pd.Series(0.0, index=table.index)
    drawn = [str(name) for name in types.index[:TYPES_DRAWN]]
    return {
        "method": method,
        "base": BASE_METHOD,
        "overlap": float(shared.median()),
        "r": float(types["r"].mean()),
        "figure": figures.histogram(
            {"overlap": shared.to_numpy(float)}, unit="overlap", span=(0, 1), noun=noun
        ),
        "types": [
            {"name": str(name), **{key: float(value) for key, value in row.items()}}
            for name, row in types.iterrows()
        ],
        "scatter": [
            {
                "name": name,
                "r": float(types.loc[name, "r"]),
                "svg": charts.scatter(
                    right.get(name, zero),
                    left.get(name, zero),
                    x_name=BASE_METHOD,
                    y_name=figures.shorten(method),
                    title=f"{name}: {method} against {BASE_METHOD}",
                ),
            }
            for name in drawn
        ],
        "of": len(types),
    }


def doubts(table: pd.DataFrame) -> dict[str, float]:
    """Return a method's own doubts over the tissue: mean ``unknown`` share, mean ``sd`` of a share.

    A method that states neither has no entry.
    """
    found = {}
    if UNKNOWN in table:
        found["unknown"] = float(table[UNKNOWN].mean())
    spread = [f"{name}{SD_SUFFIX}" for name in type_columns(table) if f"{name}{SD_SUFFIX}" in table]
    if spread:
        found["sd"] = float(np.nanmean(table[spread].to_numpy(float)))
    return found
