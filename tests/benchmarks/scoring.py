"""From an answer to numbers: accuracy, coverage of intervals, detection of what the atlas lacks."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.problems import Problem
from tissuemake.contracts import SD_SUFFIX, known_shares
from tissuemake.evaluation import metrics
from tissuemake.evaluation.tables import as_array

Scores = Iterator[tuple[str, float]]

# Half width of a 90 % interval in standard deviations, as the contract of the proportions states it.
HALF_WIDTH = 1.645
# A pair of spot and type that says something: there, or claimed.
CLAIMED = 0.02
LARGE_SHARE = 0.2

# Which way each metric is better; those not named have no winner.
HIGHER = ("r", "r shared types", "AUPR", "AUROC", "AUROC share > 20%", "r unknown", "ratio", "r of new types")
LOWER = ("RMSE", "JSD", "seconds", "CPU seconds", "peak MB")


def accuracy(problem: Problem, answer: pd.DataFrame) -> Scores:
    """Correlation per type, errors per spot and presence, as `tissuemake.evaluation` defines them.

    ``r``: mean over all types of the truth, one that the atlas lacks counting 0; ``r shared types``: over those
    it has. The others are over all types of either. An ``unknown`` share is set aside first.
    """
    found = known_shares(answer).loc[problem.truth.index]
    each = metrics.pearson_by_type(found, problem.truth)
    types = [*problem.truth, *(name for name in found if name not in problem.truth)]
    left, right = as_array(found, types), as_array(problem.truth, types)
    yield "r", float(each.mean())
    if problem.absent:
        yield "r shared types", float(each.drop(problem.absent, errors="ignore").mean())
    yield "RMSE", metrics.rmse(left, right)
    yield "JSD", metrics.jensen_shannon(left, right)
    yield "AUPR", metrics.presence_precision(left, right)


def coverage(problem: Problem, answer: pd.DataFrame) -> Scores:
    """Share of (spot, type) pairs whose 90 % interval holds the truth, and how wide the intervals are.

    Over all pairs, and over those where the type is there or the estimate is above 2 %: most pairs of a
    sparse tissue are zeros, and any interval that reaches zero holds them.
    """
    types = [name for name in problem.truth if f"{name}{SD_SUFFIX}" in answer]
    answer = answer.loc[problem.truth.index]
    truth, mean = problem.truth[types].to_numpy(), answer[types].to_numpy()
    half = HALF_WIDTH * answer[[f"{name}{SD_SUFFIX}" for name in types]].to_numpy()
    low, high = np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)
    # A share that was rounded to single precision is still on its interval's edge.
    inside = (truth >= low - 1e-6) & (truth <= high + 1e-6)
    says = (truth > 0) | (mean > CLAIMED)
    yield "coverage", float(inside.mean())
    yield "coverage of pairs that say something", float(inside[says].mean())
    yield "mean width of these", float((high - low)[says].mean())


def detection(problem: Problem, score: pd.Series) -> Scores:
    """How well a score by spot tells those that hold a type which the atlas lacks.

    ``AUROC``: any share against none; ``share > 20%``: those above against none.
    """
    share = problem.truth[problem.absent].sum(axis=1)
    score = score.loc[share.index]
    clear = (share == 0) | (share > LARGE_SHARE)
    yield "AUROC", metrics.presence_rank(score, share)
    yield "AUROC share > 20%", metrics.presence_rank(score[clear], share[clear])
    yield "r unknown", float(metrics.pearson(score.to_numpy()[:, None], share.to_numpy()[:, None])[0])
