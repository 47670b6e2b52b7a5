"""Pathways of a her2st section from its H&E, and the same with a part of quadflow taken away.

PCC is per pathway within the asked section, mean over pathways; a constant answer counts 0. ``depth-adjusted``: log
library size, linear and square, taken out of the truth.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.histology_sections import Problem
from benchmarks.kept_run import Bench
from benchmarks.pathways_answers import BASELINES, CERTAIN, QUADFLOW, WITHOUT, asked, baseline_answer
from benchmarks.pathways_data import DEFAULT, HER2ST, prepared, scores_of
from benchmarks.pathways_genes import gene_scores
from benchmarks.score_rows import Row, rows
from tissuemake.contracts import FILTERED, PATHWAYS, read_annotations, read_table
from tissuemake.evaluation.expression_metrics import depth_adjusted_correlations, gene_correlations
from tissuemake.pathways.values import DEPTHS

PATHWAYS_TEST, ABLATIONS = "pathways from H&E", "ablations"
TESTS = (PATHWAYS_TEST, ABLATIONS)
# Of an answer over that of the truth, median over pathways: much less than 1 is collapse.
VARIANCE = "variance ratio"
WITHIN = (0.5, 1.5)
ALIVE = "pathways within 50 to 150 %"


@dataclass(frozen=True)
class Asked(Problem):
    """A problem with one kind of score."""

    depth: str = DEFAULT


def problems(depths: tuple[str, ...]) -> Iterator[Asked]:
    """Every problem with every kind of score, by name."""
    for problem in HER2ST:
        for depth in depths:
            yield Asked(f"{problem.name}, {depth} scores", problem.train, problem.test, depth)


def parts(test: str) -> Iterator[tuple[Asked, str]]:
    """Problems and methods."""
    if test == ABLATIONS:
        methods = (QUADFLOW, *(f"{QUADFLOW}, {part}" for part in WITHOUT))
        yield from ((problem, method) for problem in problems((DEFAULT,)) for method in methods)
    else:
        methods = (*BASELINES, QUADFLOW)
        yield from ((problem, method) for problem in problems(DEPTHS) for method in methods)


def score(bench: Bench, test: str, problem: Asked, method: str, seed: int) -> Iterator[Row]:
    """Rows of one method on one problem; what has no chance in it is asked once."""
    if seed and method in CERTAIN:
        return
    genes = {}
    if method.startswith(QUADFLOW):
        pathways, said_genes, cost = asked(bench, problem, method, seed, problem.depth)
        said = read_table(pathways, PATHWAYS)
        if test == ABLATIONS:
            genes = gene_scores(bench, problem, said_genes, method, seed)
    else:
        said, cost = baseline_answer(bench, problem, problem.depth, method, seed)
    truth = scores_of(bench, problem, problem.test, problem.depth)
    total = read_annotations(prepared(bench, problem.test).filtered, FILTERED).obs["total_counts"]
    yield from rows(test, problem.name, method, seed, pathway_scores(said, truth, total) | genes, cost)


def pathway_scores(said: pd.DataFrame, truth: pd.DataFrame, total: pd.Series) -> dict[str, float]:
    """Metrics of what was `said` of spots, over those that have a tile.

    Parameters
    ----------
    said, truth
        (spots, pathways) by barcode and name; a pathway that was not said counts as constant.
    total
        (spots,) library size.
    """
    spots = said.index[said.notna().all(axis=1)].intersection(truth.index)
    answer = said.reindex(columns=truth.columns).fillna(0).loc[spots].to_numpy(np.float64)
    known, depth = truth.loc[spots].to_numpy(np.float64), total.loc[spots].to_numpy(np.float64)
    ratio = answer.var(axis=0) / np.maximum(known.var(axis=0), 1e-12)
    return {
        "PCC": np.nanmean(gene_correlations(answer, known)),
        "depth-adjusted PCC": np.nanmean(depth_adjusted_correlations(answer, known, depth)),
        VARIANCE: np.median(ratio),
        ALIVE: np.mean((ratio >= WITHIN[0]) & (ratio <= WITHIN[1])),
    }
