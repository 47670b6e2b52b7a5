"""One table of the spatial benchmarks: medians over seeds, their spread, winners, what was to be reached, and cost."""

import pandas as pd

from benchmarks.spatial_rows import UNRANKED

LINE = ["test", "problem", "metric"]
OURS = "sagefm"
# What the issue asks for by number, besides all baselines.
STATED = {
    ("masked genes", "DLPFC 151673 -> 151674", "r"): 0.32,
    ("masked genes", "DLPFC 151673 -> 151674", "depth-adjusted r, both"): 0.20,
    ("layers", "DLPFC 151673", "ARI"): 0.55,
    ("layers", "DLPFC 151674", "ARI"): 0.55,
    ("direction", "simulated", "AUROC"): 0.9,
}
CEILING = "noise ceiling"


def is_ours(method: str) -> bool:
    """Whether the row is the model itself, however it is read, and not disturbed."""
    return method.split(" + ")[0].split(", ")[0] == OURS and not is_control(method)


def is_control(method: str) -> bool:
    """Whether the row is the model with what is spatial taken away: it should fall, and is nobody's rival."""
    return any(word in method for word in ("shuffled", "turned", "swapped"))


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per line and method: ``median``, ``spread``, ``seeds``, cost, ``winner``, ``bar`` and ``reached``.

    Who wins and what is reached is judged by ``shared``, the median over the seeds that the model has in that line:
    seeds hide other genes, so a method with more of them would be compared on other questions.

    Parameters
    ----------
    rows
        Columns `spatial_rows.COLUMNS`; the order of first appearance is kept.
    """
    grouped = rows.groupby([*LINE, "method"], sort=False)
    value = grouped["value"]
    table = value.agg(median="median", spread=lambda values: values.max() - values.min(), seeds="count")
    table = table.join(grouped[["seconds", "peak_memory_mb"]].median()).reset_index()
    table = table.merge(_shared(rows), on=[*LINE, "method"], how="left")
    table["shared"] = table["shared"].fillna(table["median"])
    return pd.concat(
        [_judged(line, part) for line, part in table.groupby(LINE, sort=False)], ignore_index=True
    )


def _shared(rows: pd.DataFrame) -> pd.DataFrame:
    """Medians over the seeds for which the line has a row of the model."""
    ours = rows[[is_ours(method) for method in rows["method"]]][[*LINE, "seed"]].drop_duplicates()
    found = rows.merge(ours, on=[*LINE, "seed"]).groupby([*LINE, "method"], sort=False)["value"].median()
    return found.rename("shared").reset_index()


def _judged(line: tuple[str, str, str], part: pd.DataFrame) -> pd.DataFrame:
    medians = part.set_index("method")["shared"].dropna()
    rivals = medians[[name for name in medians.index if name != CEILING and not is_control(name)]]
    bars = rivals[[name for name in rivals.index if not is_ours(name)]]
    bar = max([STATED.get(line, float("-inf")), *bars]) if len(bars) or line in STATED else float("nan")
    ranked = line[2] not in UNRANKED
    best = rivals.max() if len(rivals) and ranked else float("inf")
    return part.assign(
        winner=[
            method in rivals and best - value < 0.0005
            for method, value in zip(part["method"], part["shared"], strict=True)
        ],
        bar=bar if ranked else float("nan"),
        reached=[
            ranked and is_ours(method) and value > bar
            for method, value in zip(part["method"], part["shared"], strict=True)
        ],
    )


def overview(table: pd.DataFrame) -> str:
    """Markdown: for every ranked column that the model has, its best reading beside the best of all others."""
    lines = []
    for (test, problem, metric), part in table.groupby(LINE, sort=False):
        values = part.set_index("method")["shared"].dropna()
        ours = values[[name for name in values.index if is_ours(name)]]
        others = values[
            [name for name in values.index if not (is_ours(name) or is_control(name) or name == CEILING)]
        ]
        if metric in UNRANKED or ours.empty or others.empty:
            continue
        asked = STATED.get((test, problem, metric))
        lines.append(
            {
                "test": f"{test}: {problem}",
                "metric": metric,
                "best baseline": f"{others.max():.3f} ({others.idxmax()})",
                "asked for": "" if asked is None else f"{asked:.2f}",
                "SAGE-FM": f"{ours.max():.3f}" + ("" if ours.idxmax() == OURS else f" ({ours.idxmax()})"),
                "above all": "✓" if part["reached"].any() else "",
            }
        )
    return pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True) if lines else ""


def render(table: pd.DataFrame) -> str:
    """Markdown, a block per test and problem: a row per method, a column per metric, seconds and memory last."""
    blocks = []
    for (test, problem), part in table.groupby(["test", "problem"], sort=False):
        metrics = list(dict.fromkeys(part["metric"]))
        lines = []
        for method, own in part.groupby("method", sort=False):
            cells = {row.metric: _cell(row) for row in own.itertuples()}
            lines.append(
                {
                    "": method + _seeds(int(own["seeds"].max()), int(part["seeds"].max())),
                    **{metric: cells.get(metric, "") for metric in metrics},
                    "CPU s": _number(own["seconds"].iloc[0], ".1f"),
                    "MB": _number(own["peak_memory_mb"].iloc[0], ".0f"),
                }
            )
        bars = part.drop_duplicates("metric").set_index("metric")["bar"]
        if bars.notna().any():
            lines.append({"": "to beat", **{metric: _number(bars[metric], ".3f") for metric in metrics}})
        text = pd.DataFrame(lines).fillna("").to_markdown(index=False, disable_numparse=True)
        blocks.append(f"### {test}: {problem}\n\n{text}")
    return "\n\n".join(blocks)


def _seeds(found: int, most: int) -> str:
    """How many seeds a row has, where others have more."""
    return "" if found == most else f" ({found} seed{'s' if found > 1 else ''})"


def _number(value: float, form: str) -> str:
    return "" if pd.isna(value) else format(value, form)


def _cell(row) -> str:
    if pd.isna(row.median):
        return ""
    shape = ".1f" if row.metric in UNRANKED else ".3f"
    text = f"**{row.median:{shape}}**" if row.winner else f"{row.median:{shape}}"
    if row.seeds > 1 and row.spread >= 0.0005:
        text += f" ±{row.spread / 2:{shape}}"
    return text + (" ✓" if row.reached else "")
