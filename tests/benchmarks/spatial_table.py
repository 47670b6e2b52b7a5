"""Who is judged in the table of the spatial benchmark, and by whom."""

import pandas as pd

from benchmarks.score_rows import UNRANKED
from benchmarks.score_table import Judge, best_readings, markdown, summarised

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


JUDGE = Judge(
    ours=is_ours,
    bar=lambda method: not (is_ours(method) or is_control(method) or method == CEILING),
    rival=lambda method: method != CEILING and not is_control(method),
    stated=STATED,
    unranked=UNRANKED.__contains__,
    numbers=UNRANKED,
)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """See `score_table.summarised`."""
    return summarised(rows, JUDGE)


def overview(table: pd.DataFrame) -> str:
    """See `score_table.best_readings`."""
    return best_readings(table, JUDGE, "SAGE-FM", OURS)


def render(table: pd.DataFrame) -> str:
    """See `score_table.markdown`."""
    return markdown(table, JUDGE)
