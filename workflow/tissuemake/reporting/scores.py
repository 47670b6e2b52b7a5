"""Evaluation tables for people: methods down, metrics across, the winner bold even when it is a baseline."""

import pandas as pd

LOWER_IS_BETTER = ("rmse", "mae", "jsd", "error", "distance", "divergence")
BASELINE_WORDS = ("uniform", "mean", "baseline", "random", "constant", "shuffled", "depth")
METRIC_NAMES = {
    "rmse": "RMSE",
    "jsd": "JSD",
    "ari": "ARI",
    "nmi": "NMI",
}


def tables(evaluation: pd.DataFrame) -> list[dict]:
    """Return one table per task of a sample: ``{"task", "metrics", "rows"}``.

    Each row holds ``method``, ``baseline`` and a cell ``{"value", "best"}`` per metric.
    """
    return [_table(str(task), part) for task, part in evaluation.groupby("task", sort=True)]


def cohort_tables(evaluation: pd.DataFrame) -> list[dict]:
    """Return one table per task: the mean over samples of each method and metric, and each sample's winner."""
    found = []
    for task, part in evaluation.groupby("task", sort=True):
        table = _table(str(task), part)
        table["samples"] = int(part["sample"].nunique())
        table["winners"] = [
            {"sample": str(sample), "best": best_method(own, str(task))}
            for sample, own in part.groupby("sample", sort=True)
        ]
        found.append(table)
    return found


def _table(task: str, part: pd.DataFrame) -> dict:
    wide = part.pivot_table(index="method", columns="metric", values="value", aggfunc="mean", dropna=False)
    wide = wide.dropna(how="all", axis=1)
    best = {metric: _best(wide[metric], metric) for metric in wide.columns}
    lead = list(wide.columns)[:1]
    if lead:
        wide = wide.sort_values(
            lead[0], ascending=lower_is_better(str(lead[0])), kind="stable", na_position="last"
        )
    rows = [
        {
            "method": str(method),
            "baseline": is_baseline(str(method)),
            "cells": [{"value": row[metric], "best": row[metric] == best[metric]} for metric in wide.columns],
        }
        for method, row in wide.iterrows()
    ]
    metrics = [
        {"name": metric_name(str(metric)), "lower": lower_is_better(str(metric))} for metric in wide.columns
    ]
    return {"task": task, "metrics": metrics, "rows": rows}


def best_method(
    evaluation: pd.DataFrame, task: str, metric: str | None = None
) -> tuple[str, str, float] | None:
    """Return ``(method, metric, value)`` of the winner of a task, by its first metric unless one is named."""
    part = evaluation[(evaluation["task"] == task) & evaluation["value"].notna()]
    if part.empty:
        return None
    metric = metric or str(part["metric"].iloc[0])
    part = part[part["metric"] == metric]
    if part.empty:
        return None
    row = part.loc[part["value"].idxmin() if lower_is_better(metric) else part["value"].idxmax()]
    return str(row["method"]), metric_name(metric), float(row["value"])


def is_baseline(method: str) -> bool:
    """Whether a method's name says that it is a trivial baseline."""
    return any(word in method.lower().replace("-", "_").split("_") for word in BASELINE_WORDS)


def lower_is_better(metric: str) -> bool:
    """Whether a small value of `metric` is the good one."""
    return any(word in metric.lower() for word in LOWER_IS_BETTER)


def metric_name(metric: str) -> str:
    """Return a metric's name for reading."""
    return METRIC_NAMES.get(metric.lower(), metric.replace("_", " "))


def _best(values: pd.Series, metric: str) -> float:
    return float(values.min() if lower_is_better(metric) else values.max())
