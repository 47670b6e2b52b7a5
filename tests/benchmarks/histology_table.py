"""Who is judged in the table of the image benchmarks, and by whom."""

import pandas as pd

from benchmarks.histology_expression import BASELINES
from benchmarks.histology_rows import CEILING, HIGHER, INFORMED, INTERPOLATIONS, WITHOUT_IMAGE
from benchmarks.score_table import Judge, markdown, summarised

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


JUDGE = Judge(
    ours=lambda method: not is_bar(method) and method != CEILING,
    bar=is_bar,
    rival=lambda method: method != CEILING and method not in INFORMED,
    stated=STATED,
    unranked=lambda metric: metric not in HIGHER,
)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """See `score_table.summarised`."""
    return summarised(rows, JUDGE)


def render(table: pd.DataFrame) -> str:
    """See `score_table.markdown`; a row that has seen what it is asked about says so."""

    def name(method: str) -> str:
        return f"{method} (knows the section)" if method in INFORMED else method

    return markdown(table, JUDGE, name, cost=False)
