"""Who is judged in the table of the pathway benchmark, and what the issue asks for by number."""

import pandas as pd

from benchmarks import pathways_scale, pathways_simulated
from benchmarks.pathways_answers import QUADFLOW
from benchmarks.pathways_data import DEFAULT, HER2ST
from benchmarks.pathways_genes import DIRECT
from benchmarks.pathways_genes import TEST as GENES
from benchmarks.pathways_her2st import ABLATIONS, ALIVE, PATHWAYS_TEST, VARIANCE
from benchmarks.score_table import Judge, best_readings, markdown, summarised

C4 = HER2ST[0].name
PLANTED = (pathways_simulated.TEST, "planted, half -> half")
STATED = {
    (PATHWAYS_TEST, f"{C4}, {DEFAULT} scores", "depth-adjusted PCC"): 0.25,
    (PATHWAYS_TEST, f"{C4}, published scores", "PCC"): 0.62,
    (PATHWAYS_TEST, f"{C4}, published scores", "depth-adjusted PCC"): 0.12,
    **{(GENES, problem.name, "PCC less that of the direct ridge"): -0.02 for problem in HER2ST},
    **{(GENES, problem.name, "Hallmark less random"): 0.0 for problem in HER2ST},
    (*PLANTED, pathways_simulated.VISIBLE): 0.8,
}
# Shown, and better neither large nor small.
UNRANKED = (VARIANCE, ALIVE, "PCC in random sets", pathways_simulated.HIDDEN, *pathways_scale.METRICS)


def is_ours(method: str) -> bool:
    """Whether the row is the product: the scores themselves, or quadflow."""
    return method.startswith((QUADFLOW, "measured"))


# The direct ridge of genes is no bar: quadflow may be below it by a little, which has a column of its own.
JUDGE = Judge(
    ours=is_ours,
    bar=lambda method: not is_ours(method) and method != DIRECT,
    rival=lambda method: not method.startswith("measured"),
    stated=STATED,
    unranked=UNRANKED.__contains__,
    numbers=pathways_scale.METRICS,
)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """See `score_table.summarised`."""
    return summarised(rows, JUDGE)


def overview(table: pd.DataFrame) -> str:
    """See `score_table.best_readings`: scores from H&E alone."""
    chosen = ~table["method"].str.startswith("measured") & (table["test"] != ABLATIONS)
    return best_readings(table[chosen], JUDGE, "quadflow", QUADFLOW)


def render(table: pd.DataFrame) -> str:
    """See `score_table.markdown`."""
    return markdown(table, JUDGE)
