"""Scores of the benchmark against numbers worked out by hand."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from benchmarks import scoring
from benchmarks.problems import Problem, counted


class ThreeTypes:
    """An atlas that knows A, B and C; the truth below has D as well."""

    signatures = pd.DataFrame(columns=["A", "B", "C"])


@pytest.fixture
def problem() -> Problem:
    truth = pd.DataFrame(
        [[1.0, 0, 0, 0], [0, 1, 0, 0], [0.5, 0.5, 0, 0], [0, 0.2, 0.3, 0.5], [0.9, 0, 0, 0.1]],
        columns=list("ABCD"),
        index=[f"s{i}" for i in range(5)],
    )
    genes = pd.DataFrame({"gene_id": ["", ""]}, index=["g1", "g2"])
    spots = counted(sp.csr_matrix(np.ones((5, 2), dtype=np.float32)), truth.index, genes)
    return Problem("toy", spots, ThreeTypes(), truth)


def test_the_right_answer_scores_full_marks_on_what_the_atlas_has(problem):
    answer = problem.truth.drop(columns="D").assign(unknown=problem.truth["D"])
    # Shares among the known types: rows sum to 1 again.
    scores = dict(scoring.accuracy(problem, answer))
    known = answer[list("ABC")].div(answer[list("ABC")].sum(axis=1), axis=0)
    each = [np.corrcoef(known[name], problem.truth[name])[0, 1] for name in "ABC"]
    assert scores["r shared types"] == pytest.approx(np.mean(each))
    assert scores["r"] == pytest.approx(sum(each) / 4)  # D counts as 0
    # RMSE of spot s3 over 4 types: known shares are .4 and .6 of B and C.
    s3 = np.sqrt((0.2**2 + 0.3**2 + 0.5**2) / 4)
    s4 = np.sqrt((0.1**2 + 0.1**2) / 4)
    assert scores["RMSE"] == pytest.approx((s3 + s4) / 5)


def test_coverage_counts_pairs_and_those_that_say_something(problem):
    answer = pd.DataFrame(0.0, index=problem.truth.index, columns=["A", "B", "C", "A_sd", "B_sd", "C_sd"])
    answer["A"] = 0.5
    answer["A_sd"] = 0.25  # 0.5 ± 0.41: holds 0.5 and 0.9, not 0, 1, 0
    scores = dict(scoring.coverage(problem, answer))
    # B: three spots are 0 and held; C: four.
    assert scores["coverage"] == pytest.approx((2 + 2 + 4) / 15)
    # A is claimed everywhere (5 pairs); B is there in three spots, C in one; none of these is held.
    assert scores["coverage of pairs that say something"] == pytest.approx(2 / 9)
    assert scores["mean width of these"] == pytest.approx(5 * 2 * 1.645 * 0.25 / 9)


def test_an_interval_is_clipped_to_what_shares_can_be(problem):
    answer = pd.DataFrame({"A": 0.9, "A_sd": 1.0}, index=problem.truth.index)
    assert dict(scoring.coverage(problem, answer))["mean width of these"] == pytest.approx(1.0)


def test_detection_of_what_the_atlas_lacks(problem):
    score = pd.Series([0.0, 0.05, 0.2, 0.9, 0.1], index=problem.truth.index)
    scores = dict(scoring.detection(problem, score))
    # D is in s3 (.5) and s4 (.1): of 6 pairs only s2 > s4 is out of order.
    assert scores["AUROC"] == pytest.approx(5 / 6)
    assert scores["AUROC share > 20%"] == 1.0
    assert scores["r unknown"] == pytest.approx(np.corrcoef(score, problem.truth["D"])[0, 1])


def test_fewer_measured_genes_leave_the_question_alone(problem):
    small = problem.measuring(np.array([1]), "toy, 1 gene")
    assert list(small.spots.var_names) == ["g2"]
    assert small.spots.layers["counts"].shape == (5, 1)
    assert small.truth is problem.truth and problem.spots.n_vars == 2
    assert isinstance(small.spots, ad.AnnData)
