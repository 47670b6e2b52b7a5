"""Scores against values worked out by hand and against scipy and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import pearsonr
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from tissuemake.evaluation import metrics


@pytest.fixture
def shares():
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(4), 30), rng.dirichlet(np.full(4, 0.5), 30)


def test_pearson_is_scipys(shares):
    found, truth = shares
    expected = [pearsonr(found[:, k], truth[:, k]).statistic for k in range(4)]
    np.testing.assert_allclose(metrics.pearson(found, truth), expected)


def test_pearson_of_constants():
    moving, flat = np.arange(5.0)[:, None], np.full((5, 1), 0.1)
    assert metrics.pearson(flat, moving)[0] == 0  # claims nothing
    assert np.isnan(metrics.pearson(moving, flat)[0])  # nothing to claim


def test_types_that_are_missing_count_as_zero():
    truth = pd.DataFrame(
        {"a": [0.0, 0.5, 1.0], "b": [1.0, 0.5, 0.0], "c": [0.0, 0.0, 0.0]}, index=list("xyz")
    )
    found = pd.DataFrame({"a": [0.1, 0.5, 0.9]}, index=list("xyz"))
    each = metrics.pearson_by_type(found, truth)
    assert each.to_dict() == pytest.approx({"a": 1.0, "b": 0.0})  # c does not vary and is no question


def test_rmse_by_hand():
    found = np.array([[0.5, 0.5], [1.0, 0.0]])
    truth = np.array([[0.5, 0.5], [0.0, 1.0]])
    assert metrics.rmse(found, truth) == pytest.approx((0 + 1) / 2)
    # The mean is over spots of each spot's root, not the root of the mean.
    assert metrics.rmse(found, truth) != pytest.approx(np.sqrt(((found - truth) ** 2).mean()))


def test_jensen_shannon_is_scipys(shares):
    found, truth = shares
    expected = np.mean([jensenshannon(p, q, base=2) for p, q in zip(found, truth, strict=True)])
    assert metrics.jensen_shannon(found, truth) == pytest.approx(expected)
    apart = metrics.jensen_shannon(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))
    assert apart == pytest.approx(1)
    assert metrics.jensen_shannon(truth, truth) == pytest.approx(0, abs=1e-6)


def test_presence_precision_by_hand():
    truth = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    right = np.array([[0.4, 0.4, 0.1], [0.9, 0.1, 0.0]])
    assert metrics.presence_precision(right, truth) == pytest.approx(1)
    # Flat shares find the share of present pairs: 3 of 6.
    assert metrics.presence_precision(np.full((2, 3), 1 / 3), truth) == pytest.approx(0.5)
    assert np.isnan(metrics.presence_precision(right, np.ones((2, 3))))


def test_partial_pearson_is_the_textbooks():
    rng = np.random.default_rng(1)
    given = rng.normal(size=200)
    left, right = given + rng.normal(size=200), given + rng.normal(size=200)
    xy, xz, yz = (
        np.corrcoef(left, right)[0, 1],
        np.corrcoef(left, given)[0, 1],
        np.corrcoef(right, given)[0, 1],
    )
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert metrics.partial_pearson(left[:, None], right[:, None], given)[0] == pytest.approx(expected)
    assert xy > 0.3 > abs(expected)
    only_depth = metrics.partial_pearson(given[:, None] * 3 + 1, right[:, None], given)[0]
    assert only_depth == 0


def test_partial_pearson_with_a_variable_for_each_column():
    rng = np.random.default_rng(2)
    left, right, given = (rng.normal(size=(50, 3)) for _ in range(3))
    each = [metrics.partial_pearson(left[:, [k]], right[:, [k]], given[:, k])[0] for k in range(3)]
    np.testing.assert_allclose(metrics.partial_pearson(left, right, given), each)


def test_partitions_are_scikit_learns():
    rng = np.random.default_rng(3)
    left, right = rng.integers(0, 3, 60).astype(str), rng.integers(0, 4, 60).astype(str)
    assert metrics.adjusted_rand(left, right) == pytest.approx(adjusted_rand_score(right, left))
    assert metrics.mutual_information(left, right) == pytest.approx(normalized_mutual_info_score(right, left))
    assert metrics.adjusted_rand(left, left) == 1
