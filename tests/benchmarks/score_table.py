"""The table of a benchmark: medians over seeds, their spread, winners, what was to be reached, and cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

LINE = ["test", "problem", "metric"]
# Differences below are none.
SAME = 0.0005


def never(name: str) -> bool:
    """No method, or no metric, at all."""
    return False


@dataclass(frozen=True)
class Judge:
    """Who is measured against whom.

    Attributes
    ----------
    ours
        Whether a method is the model itself, however it is read: it can reach the bar.
    bar
        Whether the model must be above this method.
    rival
        Whether a method can win.
    stated
        Bars that the issue asks for by number, by line: test, problem, metric.
    unranked
        Whether a metric has no winner.
    numbers
        Metrics that are no scores, and are shown with one digit.
    """

    ours: Callable[[str], bool]
    bar: Callable[[str], bool]
    rival: Callable[[str], bool]
    stated: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    unranked: Callable[[str], bool] = never
    numbers: Sequence[str] = ()


def summarised(rows: pd.DataFrame, judge: Judge) -> pd.DataFrame:
    """One row per line and method: ``median``, ``spread``, ``seeds``, cost, ``winner``, ``bar`` and ``reached``.

    Who wins and what is reached is judged by ``shared``, the median over the seeds that the model has in that line:
    seeds hide other genes, so a method with more of them would be compared on other questions.

    Parameters
    ----------
    rows
        Columns `score_rows.COLUMNS`; the order of first appearance is kept.
    """
    grouped = rows.groupby([*LINE, "method"], sort=False)
    value = grouped["value"]
    table = value.agg(median="median", spread=lambda values: values.max() - values.min(), seeds="count")
    cost = [name for name in ("seconds", "peak_memory_mb") if name in rows]
    table = table.join(grouped[cost].median()).reset_index()
    table = table.merge(_shared(rows, judge), on=[*LINE, "method"], how="left")
    table["shared"] = table["shared"].fillna(table["median"])
    parts = [_judged(line, part, judge) for line, part in table.groupby(LINE, sort=False)]
    return pd.concat(parts, ignore_index=True)


def _shared(rows: pd.DataFrame, judge: Judge) -> pd.DataFrame:
    """Medians over the seeds for which the line has a row of the model."""
    ours = rows[[judge.ours(method) for method in rows["method"]]][[*LINE, "seed"]].drop_duplicates()
    found = rows.merge(ours, on=[*LINE, "seed"]).groupby([*LINE, "method"], sort=False)["value"].median()
    return found.rename("shared").reset_index()


def _judged(line: tuple[str, str, str], part: pd.DataFrame, judge: Judge) -> pd.DataFrame:
    medians = part.set_index("method")["shared"].dropna()
    rivals = medians[[name for name in medians.index if judge.rival(name)]]
    bars = medians[[name for name in medians.index if judge.bar(name)]]
    ranked = not judge.unranked(line[2])
    known = ranked and (len(bars) or line in judge.stated)
    bar = max([judge.stated.get(line, float("-inf")), *bars]) if known else float("nan")
    best = rivals.max() if len(rivals) and ranked else float("inf")
    told = list(zip(part["method"], part["shared"], strict=True))
    return part.assign(
        winner=[method in rivals and best - value < SAME for method, value in told],
        bar=bar,
        reached=[ranked and judge.ours(method) and value > bar for method, value in told],
    )


def markdown(
    table: pd.DataFrame, judge: Judge, name: Callable[[str], str] = str, *, cost: bool = True
) -> str:
    """Markdown, a block per test and problem: a row per method, a column per metric, seconds and memory last.

    Parameters
    ----------
    name
        How a method is shown.
    """
    blocks = []
    for (test, problem), part in table.groupby(["test", "problem"], sort=False):
        metrics = list(dict.fromkeys(part["metric"]))
        lines = []
        for method, own in part.groupby("method", sort=False):
            cells = {row.metric: _cell(row, judge) for row in own.itertuples()}
            line = {"": name(method) + _seeds(own, part) if cost else name(method)}
            line |= {metric: cells.get(metric, "") for metric in metrics}
            if cost:
                line |= {"CPU s": number(own["seconds"].iloc[0], ".1f")}
                line |= {"MB": number(own["peak_memory_mb"].iloc[0], ".0f")}
            lines.append(line)
        bars = part.drop_duplicates("metric").set_index("metric")["bar"]
        if bars.notna().any():
            lines.append({"": "to beat", **{metric: number(bars[metric], ".3f") for metric in metrics}})
        text = pd.DataFrame(lines).fillna("").to_markdown(index=False, disable_numparse=True)
        blocks.append(f"### {test}: {problem}\n\n{text}")
    return "\n\n".join(blocks)


def best_readings(table: pd.DataFrame, judge: Judge, model: str, plain: str) -> str:
    """Markdown: for every ranked column that the model has, its best reading beside the best of all others.

    Parameters
    ----------
    model
        Title of its column.
    plain
        The reading that goes without saying.
    """
    lines = []
    for line, part in table.groupby(LINE, sort=False):
        test, problem, metric = line
        values = part.set_index("method")["shared"].dropna()
        ours = values[[name for name in values.index if judge.ours(name)]]
        others = values[[name for name in values.index if judge.bar(name)]]
        if judge.unranked(metric) or ours.empty or others.empty:
            continue
        asked = judge.stated.get(line)
        lines.append(
            {
                "test": f"{test}: {problem}",
                "metric": metric,
                "best baseline": f"{others.max():.3f} ({others.idxmax()})",
                "asked for": "" if asked is None else f"{asked:.2f}",
                model: f"{ours.max():.3f}" + ("" if ours.idxmax() == plain else f" ({ours.idxmax()})"),
                "above all": "✓" if part["reached"].any() else "",
            }
        )
    return pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True) if lines else ""


def _seeds(own: pd.DataFrame, part: pd.DataFrame) -> str:
    """How many seeds a row has, where others have more."""
    found, most = int(own["seeds"].max()), int(part["seeds"].max())
    return "" if found == most else f" ({found} seed{'s' if found > 1 else ''})"


def number(value: float, form: str) -> str:
    """As text, empty where there is none."""
    return "" if pd.isna(value) else format(value, form)


def _cell(row, judge: Judge) -> str:
    if pd.isna(row.median):
        return ""
    shape = ".1f" if row.metric in judge.numbers else ".3f"
    text = f"**{row.median:{shape}}**" if row.winner else f"{row.median:{shape}}"
    if row.seeds > 1 and row.spread >= SAME:
        text += f" ±{row.spread / 2:{shape}}"
    return text + (" ✓" if row.reached else "")
