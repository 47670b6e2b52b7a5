"""Whom to trust on this tissue: methods on spots of known composition, made of the sample's own cells, for reading."""

from pathlib import Path

import pandas as pd

from tissuemake import contracts

BASELINE_NAMES = {
    "uniform": "equal shares",
    "mean_composition": "the mean of the truth in every spot",
    "atlas_composition": "the atlas's own composition in every spot",
}


def read_pseudo_spots(path: Path | None) -> pd.DataFrame | None:
    """Return the scores, None where none were asked for."""
    return contracts.read_table(path, contracts.EVALUATION) if path else None


def verdict(table: pd.DataFrame) -> dict:
    """Whom to trust on one kind of spots: ``method``, its ``pearson`` from ``low`` to ``high``, ``level``, ``useful``.

    ``level``: other methods whose correlation lies in the best one's interval. ``useful``: whether the best one's
    error is below those of all baselines; if not, a composition that is the same everywhere says as much of a spot.
    """
    wide = table.pivot_table(index="method", columns="metric", values="value", sort=False)
    asked = table.loc[~table["baseline"], "method"].unique()
    ranked = wide.loc[asked].sort_values("pearson", ascending=False, kind="stable")
    best, baseline = ranked.iloc[0], float(wide.drop(index=asked)["rmse"].min())
    level = ranked.index[1:][ranked["pearson"].iloc[1:] >= best["pearson_low"]]
    return {
        "method": str(ranked.index[0]),
        "pearson": float(best["pearson"]),
        "low": float(best["pearson_low"]),
        "high": float(best["pearson_high"]),
        "level": [str(name) for name in level],
        "rmse": float(best["rmse"]),
        "baseline_rmse": baseline,
        "useful": bool(best["rmse"] < baseline),
    }


def verdicts(table: pd.DataFrame) -> list[str]:
    """A line for each kind of spots, in the order of the table."""
    return [
        f"{lattice}, {panel:.0%} of the panel: {said(verdict(part))}"
        for (lattice, panel), part in table.groupby(["lattice", "panel"], sort=False)
    ]


def said(found: dict) -> str:
    """A verdict as a sentence."""
    how = f"r {found['pearson']:.2f}, 95% interval {found['low']:.2f} to {found['high']:.2f}"
    if found["level"]:
        how += f"; not told apart from it: {', '.join(found['level'])}"
    errors = f"an error of {found['rmse']:.3f} against {found['baseline_rmse']:.3f} of the best baseline"
    if found["useful"]:
        return f"trust {found['method']} ({how}): {errors}."
    return f"trust none: the best is {found['method']} ({how}), with {errors}."


def pseudo_spots_section(table: pd.DataFrame | None) -> dict | None:
    """What the page shows: per lattice the ``panels``, ``rows`` of methods with r and error at each, ``verdicts``."""
    if table is None or not len(table):
        return None
    parts = []
    for lattice, own in table.groupby("lattice", sort=False):
        panels = sorted(own["panel"].unique(), reverse=True)
        by_panel = {panel: own[own["panel"] == panel] for panel in panels}
        parts.append(
            {
                "lattice": str(lattice),
                "panels": [f"{panel:.0%}" for panel in panels],
                "spots": sorted({int(_value(part, None, "spots")) for part in by_panel.values()}),
                "rows": _rows(own, by_panel),
                "verdicts": [
                    f"With {panel:.0%} of the panel {said(verdict(part))}" for panel, part in by_panel.items()
                ],
            }
        )
    return {"parts": parts, "labels": table.attrs.get("tissuemake", {}).get("truth") == "labels"}


def _rows(own: pd.DataFrame, by_panel: dict[float, pd.DataFrame]) -> list[dict]:
    """Methods first, the best of the whole panel on top, then baselines."""
    order = (
        own[own["metric"] == "pearson"]
        .drop_duplicates("method")
        .sort_values(["baseline", "value"], ascending=[True, False], kind="stable")
    )
    best = {
        panel: {
            "pearson": part.loc[part["metric"] == "pearson", "value"].max(),
            "rmse": part.loc[part["metric"] == "rmse", "value"].min(),
        }
        for panel, part in by_panel.items()
    }
    return [
        {
            "method": BASELINE_NAMES.get(str(row["method"]), str(row["method"])),
            "baseline": bool(row["baseline"]),
            "cells": [
                {
                    "value": (value := _value(part, row["method"], metric)),
                    "best": value == best[panel][metric],
                }
                for panel, part in by_panel.items()
                for metric in ("pearson", "rmse")
            ],
        }
        for _, row in order.iterrows()
    ]


def _value(part: pd.DataFrame, method: str | None, metric: str) -> float:
    chosen = part[(part["metric"] == metric) & ((part["method"] == method) if method else True)]
    return float(chosen["value"].iloc[0]) if len(chosen) else float("nan")
