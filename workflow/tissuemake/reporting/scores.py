"""Evaluation tables for people: methods down, metrics across, the winner bold even when it is a baseline."""

import pandas as pd

# Metrics by which methods are ranked, the one that decides first. Others are facts: shown, never won.
RANKED = (
    "pearson", "pearson_shared", "aupr", "rmse", "jsd", "held_out_r_depth_adjusted", "held_out_r", "ari", "nmi",
    "auroc", "auprc", "macro_f1", "accuracy", "accuracy_labelled",
)  # fmt: skip
LOWER_IS_BETTER = ("rmse", "jsd")
NAMES = {
    "pearson": "Pearson r",
    "pearson_shared": "r, shared types",
    "aupr": "AUPR",
    "rmse": "RMSE",
    "jsd": "JSD",
    "held_out_r": "held-out r",
    "held_out_r_depth_adjusted": "held-out r, depth-adjusted",
    "held_out_genes": "genes scored",
    "ari": "ARI",
    "nmi": "NMI",
    "neighbors_alike": "neighbours alike",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "tumor_spots": "tumour spots",
    "macro_f1": "macro F1",
    "accuracy_labelled": "accuracy of those labelled",
    "ece": "calibration error",
    "right": "share that is right",
    "foreign_unknown": "foreign types called unknown",
    "taught": "share whose label was taught",
}
TASK_NAMES = {
    "cell_types": "cell types, one for each",
    "tumor": "tumour, from the image alone",
    "annotation": "annotation, labels learnt on other donors",
    "pathways": "pathways, from the image alone",
}
# Methods that are scored on other genes and by another adjustment than the rest of their task, among themselves.
GROUPS = {"": "", "image": ", from the image alone"}


def tables(evaluation: pd.DataFrame) -> list[dict]:
    """Return one table per task of a sample.

    Each has ``task`` (its name), ``metrics``, ``rows`` (``method``, ``baseline``, a cell ``{"value", "best"}`` per
    metric), ``pairs`` (agreement of two methods) and ``details``: scores that carry a name in brackets
    (``pearson[T cell]``), as a table of its own per metric.
    """
    return [_table(name, part) for _, name, part in _by_task(evaluation)]


def _by_task(evaluation: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Task, its name for reading, and its scores; a task's groups stand apart."""
    group = evaluation["group"].fillna("").astype(str) if "group" in evaluation else ""
    rows = evaluation.assign(group=group)
    return [
        (str(task), TASK_NAMES.get(str(task), str(task)) + GROUPS.get(own, f", {own}"), part)
        for (task, own), part in rows.groupby(["task", "group"], sort=True)
    ]


def cohort_tables(evaluation: pd.DataFrame) -> list[dict]:
    """Return one table per task: the mean over samples of each method and metric, and each sample's winner.

    A mean over easy samples would beat one over all: where methods were scored on different samples, the means
    are over those that all of them share (``samples`` of ``of``), if there are any.
    """
    found = []
    for task, name, part in _by_task(evaluation):
        shared = shared_samples(part)
        table = _table(name, part[part["sample"].isin(shared)])
        table["of"] = int(part["sample"].nunique())
        winners = [
            {"sample": str(sample), "best": best_method(own, task)}
            for sample, own in part.groupby("sample", sort=True)
        ]
        winners = [winner for winner in winners if winner["best"]]
        # Names of types and pairs belong to one sample; their mean over samples says nothing.
        found.append({**table, "pairs": [], "details": [], "winners": winners})
    return found


def shared_samples(part: pd.DataFrame) -> set[str]:
    """Return the samples in which every method has a ranked score; all samples when there are none."""
    ranked = part[part["metric"].isin(RANKED) & part["value"].notna()]
    by_method = [set(samples) for _, samples in ranked.groupby("method")["sample"]]
    return set.intersection(*by_method) if by_method and set.intersection(*by_method) else set(part["sample"])


def best_method(evaluation: pd.DataFrame, task: str) -> dict | None:
    """Return ``{"method", "metric", "value", "baseline"}`` of a task's winner, or None when nothing is ranked."""
    part = evaluation[(evaluation["task"] == task) & evaluation["value"].notna()]
    for metric in RANKED:
        scored = part[part["metric"] == metric]
        if len(scored):
            at = scored["value"].idxmin() if metric in LOWER_IS_BETTER else scored["value"].idxmax()
            row = scored.loc[at]
            return {
                "method": str(row["method"]),
                "metric": metric_name(metric),
                "value": float(row["value"]),
                "baseline": bool(row.get("baseline", False)),
            }
    return None


def metric_name(metric: str) -> str:
    """Return a metric's name for reading."""
    return NAMES.get(metric, metric.replace("_", " "))


def _table(task: str, part: pd.DataFrame) -> dict:
    named = part["metric"].str.endswith("]")
    main = part[~named & part["value"].notna()]
    ranked = [metric for metric in RANKED if metric in set(main["metric"])]
    metrics = ranked + sorted(set(main["metric"]) - set(ranked))
    wide = _wide(main, "method", "metric").reindex(columns=metrics)
    if ranked:
        down = ranked[0] not in LOWER_IS_BETTER
        wide = wide.sort_values(ranked[0], ascending=not down, kind="stable", na_position="last")
    best = {
        metric: wide[metric].min() if metric in LOWER_IS_BETTER else wide[metric].max() for metric in ranked
    }
    baselines = set(part.loc[part["baseline"], "method"]) if "baseline" in part else set()
    return {
        "task": task,
        "samples": int(part["sample"].nunique()),
        "metrics": [
            {"name": metric_name(metric), "way": _way(metric) if metric in ranked else ""}
            for metric in metrics
        ],
        "rows": [
            {
                "method": str(method),
                "baseline": method in baselines,
                "cells": [{"value": row[m], "best": m in best and row[m] == best[m]} for m in metrics],
            }
            for method, row in wide.iterrows()
        ],
        "pairs": _pairs(part),
        "details": _details(part[named]),
    }


def _way(metric: str) -> str:
    return "↓" if metric in LOWER_IS_BETTER else "↑"


def _pairs(part: pd.DataFrame) -> list[dict]:
    """Agreement between two methods, each pair once."""
    found: dict[frozenset, dict] = {}
    rows = part[part["metric"].str.startswith("agreement_with[") & part["value"].notna()]
    for method, metric, value in zip(rows["method"], rows["metric"], rows["value"], strict=True):
        other = metric.removeprefix("agreement_with[").removesuffix("]")
        found.setdefault(frozenset((method, other)), {"left": method, "right": other, "value": float(value)})
    return list(found.values())


def _details(named: pd.DataFrame) -> list[dict]:
    split = named["metric"].str.extract(r"^(?P<name>[^\[]+)\[(?P<of>.*)\]$", expand=True)
    rows = named.assign(name=split["name"], of=split["of"])
    rows = rows[(rows["name"] != "agreement_with") & rows["value"].notna()]
    found = []
    for name, part in rows.groupby("name", sort=False):
        wide = _wide(part, "of", "method")
        lines = [(str(of), row.tolist()) for of, row in wide.iterrows()]
        found.append({"name": metric_name(str(name)), "methods": list(map(str, wide.columns)), "rows": lines})
    return found


def _wide(rows: pd.DataFrame, index: str, columns: str) -> pd.DataFrame:
    return rows.pivot_table(index=index, columns=columns, values="value", aggfunc="mean", sort=False)
