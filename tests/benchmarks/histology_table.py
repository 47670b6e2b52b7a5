"""One table of the image benchmarks: medians over seeds, their spread, winners and what was to be reached."""

import pandas as pd

from benchmarks.histology_expression import BASELINES
from benchmarks.histology_rows import CEILING, HIGHER, INFORMED, INTERPOLATIONS, WITHOUT_IMAGE

LINE = ["test", "problem", "metric"]
# What the issue asks for by number, besides all baselines.
STATED = {
    ("expression", "her2st C2+C3 -> C4", "PCC top 250"): 0.40,
    ("expression", "her2st C2+C3 -> C4", "depth-adjusted PCC top 250"): 0.20,
    ("tumour", "her2st A1, spatial blocks", "AUROC"): 0.85,
}
# Encoders that every network must beat, whatever head is on them.
TRIVIAL_ENCODERS = ("color", "untrained", "color+untrained")


def is_bar(method: str) -> bool:
    """Whether the pretrained encoder is measured against this row."""
    return (
        method in (*BASELINES, *INTERPOLATIONS, *WITHOUT_IMAGE) or method.split(", ")[0] in TRIVIAL_ENCODERS
    )


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per line and method: ``median``, ``spread``, ``seeds``, ``winner``, ``bar`` of the line and ``reached``.

    Parameters
    ----------
    rows
        Columns `histology_rows.COLUMNS`; the order of first appearance is kept.
    """
    grouped = rows.groupby([*LINE, "method"], sort=False)["value"]
    table = grouped.agg(median="median", spread=lambda values: values.max() - values.min(), seeds="count")
    table = table.reset_index()
    parts = []
    for line, part in table.groupby(LINE, sort=False):
        medians = part.set_index("method")["median"].dropna()
        rivals = medians[[method for method in medians.index if method != CEILING]]
        bars = medians[[method for method in medians.index if is_bar(method)]]
        bar = max([STATED.get(line, -1.0), *bars]) if len(bars) or line in STATED else float("nan")
        free = rivals[[method for method in rivals.index if method not in INFORMED]]
        best = free.max() if len(free) and line[2] in HIGHER else float("inf")
        parts.append(
            part.assign(
                winner=[
                    method in free and best - value < 0.0005
                    for method, value in zip(part["method"], part["median"], strict=True)
                ],
                bar=bar,
                reached=[
                    not is_bar(method) and method != CEILING and value > bar
                    for method, value in zip(part["method"], part["median"], strict=True)
                ],
            )
        )
    return pd.concat(parts, ignore_index=True)


def render(table: pd.DataFrame) -> str:
    """Markdown, a block per test and problem: a row per method, a column per metric."""
    blocks = []
    for (test, problem), part in table.groupby(["test", "problem"], sort=False):
        metrics = list(dict.fromkeys(part["metric"]))
        lines = []
        for method, own in part.groupby("method", sort=False):
            cells = {row.metric: _cell(row) for row in own.itertuples()}
            knows = " (knows the section)" if method in INFORMED else ""
            lines.append({"": method + knows, **{metric: cells.get(metric, "") for metric in metrics}})
        bars = part.drop_duplicates("metric").set_index("metric")["bar"]
        lines.append({"": "to beat", **{m: f"{bars[m]:.3f}" if bars[m] == bars[m] else "" for m in metrics}})
        text = pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True)
        blocks.append(f"### {test}: {problem}\n\n{text}")
    return "\n\n".join(blocks)


def _cell(row) -> str:
    if pd.isna(row.median):
        return ""
    text = f"**{row.median:.3f}**" if row.winner else f"{row.median:.3f}"
    if row.seeds > 1 and row.spread >= 0.0005:
        text += f" ±{row.spread / 2:.3f}"
    return text + (" ✓" if row.reached else "")
