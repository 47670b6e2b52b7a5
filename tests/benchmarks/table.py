"""One table of all tests: medians over seeds, their spread, the winner of every line, and what was to be reached."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from benchmarks.methods import LEAST_SQUARES, ORACLES, PEERS, TRIVIAL
from benchmarks.scoring import HIGHER, LOWER

LINE = ["test", "problem", "metric"]
BASELINES = (*TRIVIAL, *LEAST_SQUARES, *PEERS, "nnls_residual")
# NNLS by other code, on all bins and spots: what the issue asks to beat, besides the best baseline here.
STATED = {
    ("starmap", "starmap-section2-all-bins", "r"): 0.70,
    ("starmap", "starmap-cortex", "r shared types"): 0.53,
    ("her2st", "her2st-A1", "r"): 0.62,
    ("her2st", "her2st-C2", "r"): 0.61,
    ("her2st", "her2st-D1", "r"): 0.62,
}
AGAINST_BASELINES = ("starmap", "her2st", "simulated")


@dataclass(frozen=True)
class Target:
    """What a line asks of the model: in words, and as a test of a value."""

    text: str
    reached: Callable[[float], bool]


def is_baseline(method: str) -> bool:
    """Whether a row is a bar for the model; peers may say their epochs in brackets."""
    return method.split(" (")[0] in BASELINES


def target(test: str, problem: str, metric: str, medians: pd.Series) -> Target | None:
    """The target of a line; `medians` by method, where baselines set it."""
    stated = STATED.get((test, problem, metric), float("-inf"))
    if test in AGAINST_BASELINES and metric in ("r", "r shared types"):
        rivals = medians[
            [name for name in medians.index if name in BASELINES and name not in ORACLES]
        ].dropna()
        bar = max([stated, *rivals])
        best = "stated" if rivals.empty or stated > rivals.max() else rivals.idxmax()
        return Target(f"> {bar:.3f} ({best})", lambda value: value > bar) if bar > float("-inf") else None
    if test == "transfer" and metric == "ratio":
        return Target("at least 0.90", lambda value: value >= 0.9)
    if test == "intervals" and metric.startswith("coverage"):
        return Target("0.87 to 0.93", lambda value: 0.87 <= value <= 0.93)
    if test == "unknown" and metric == "AUROC":
        return Target("at least 0.85", lambda value: value >= 0.85)
    if test == "speed" and metric == "times faster than cell2location":
        return Target("at least 100", lambda value: value >= 100)
    if test == "panel" and metric == "ratio" and "nnls" in medians:
        bar = medians["nnls"]
        return Target(f"> {bar:.3f} (nnls)", lambda value: value > bar)
    return None


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per line and method: ``median``, ``spread`` (largest minus smallest), ``seeds``, ``winner``, ``target``,
    ``reached``.

    Parameters
    ----------
    rows
        Columns test, problem, metric, method, seed, value; the order of first appearance is kept.
    """
    grouped = rows.groupby([*LINE, "method"], sort=False)["value"]
    table = grouped.agg(median="median", spread=lambda values: values.max() - values.min(), seeds="count")
    table = table.reset_index()
    parts = []
    for (test, problem, metric), part in table.groupby(LINE, sort=False):
        medians = part.set_index("method")["median"]
        wanted = target(test, problem, metric, medians)
        parts.append(
            part.assign(
                winner=part["method"].isin(_winners(metric, medians)),
                target=wanted.text if wanted else "",
                reached=[bool(wanted and wanted.reached(value)) for value in part["median"]],
            )
        )
    return pd.concat(parts, ignore_index=True)


def _winners(metric: str, medians: pd.Series) -> set[str]:
    """The best methods of a line; those within a thousandth of the best share the place."""
    known = medians.drop([name for name in ORACLES if name in medians]).dropna()
    if known.empty or metric not in (*HIGHER, *LOWER):
        return set()
    best = known.max() if metric in HIGHER else known.min()
    return set(known.index[(known - best).abs() < 0.0005])


def render(table: pd.DataFrame) -> str:
    """Markdown: a row per test, problem and metric, a column per method with ``median ±half spread``.

    ``**bold**`` is the winner of the line; a tick follows a method that reached the target, among those that
    were asked to (baselines were not).
    """
    methods = list(dict.fromkeys(table["method"]))
    lines = []
    for (test, problem, metric), part in table.groupby(LINE, sort=False):
        cells = {row.method: _cell(row) for row in part.itertuples()}
        lines.append(
            {
                "test": test,
                "problem": problem,
                "metric": metric,
                **{name: cells.get(name, "") for name in methods},
                "target": part["target"].iloc[0],
            }
        )
    return pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True)


def _cell(row) -> str:
    if pd.isna(row.median):
        return ""
    text = f"{row.median:.3f}"
    text = f"**{text}**" if row.winner else text
    if row.seeds > 1 and row.spread >= 0.0005:
        text += f" ±{row.spread / 2:.3f}"
    return text + (" ✓" if row.reached and not is_baseline(row.method) else "")
