"""Clusterers: groups are found where k-means fails, as many as there are; votes mend single spots and nothing else."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from tissuemake.domains import clusterers
from tissuemake.domains.clusterers import (
    choose_domains,
    kmeans_labels,
    leiden_labels,
    mixture_labels,
    principal,
    supported_components,
)
from tissuemake.domains.smoothing import smoothed_embedding, smoothed_labels


def stretched_groups(n=150, groups=3, gap=9.0, width=4, seed=0):
    """Groups side by side along the second axis, all stretched far along the first."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(groups), n)
    rows = rng.normal(0, 1, (len(truth), width))
    rows[:, 0] *= 10
    rows[:, 1] += gap * (truth % 2)
    rows[:, 2] += gap * (truth // 2)
    return rows, truth


def test_mixture_finds_groups_that_are_stretched_where_kmeans_cuts_them():
    rows, truth = stretched_groups()
    assert adjusted_rand_score(truth, mixture_labels(rows, 3)) > 0.95
    assert adjusted_rand_score(truth, kmeans_labels(rows, 3)) < 0.5


def test_mixture_does_not_depend_on_units_or_on_a_wide_embedding():
    rows, truth = stretched_groups(n=80)
    wide = rows @ np.random.default_rng(1).normal(0, 1, (4, 60))
    assert adjusted_rand_score(truth, mixture_labels(1e-3 * wide.astype(np.float32), 3)) > 0.9


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_as_many_domains_as_there_are(groups):
    rows, _ = stretched_groups(groups=groups, n=50)
    assert choose_domains(rows) == groups
    assert len(np.unique(mixture_labels(rows))) == groups


def test_rows_that_were_averaged_from_the_same_spots_are_no_evidence_of_more_domains():
    side = 24
    y, x = (grid.ravel() for grid in np.indices((side, side)))
    positions = np.column_stack([x, y]) * 100.0
    rows = np.random.default_rng(3).normal(0, 1, (side * side, 5))
    assert choose_domains(smoothed_embedding(rows, positions, 110.0)) == 1


def test_the_same_seed_gives_the_same_labels_largest_first():
    rows, _ = stretched_groups(n=40)
    labels = mixture_labels(rows[:100], 3, seed=4)
    assert (labels == mixture_labels(rows[:100], 3, seed=4)).all()
    sizes = [int((labels == name).sum()) for name in ("1", "2", "3")]
    assert sizes == sorted(sizes, reverse=True) and sum(sizes) == 100


def test_more_rows_than_are_fitted_all_get_a_label(monkeypatch):
    monkeypatch.setattr("tissuemake.domains.clusterers.ROWS_TO_FIT", 200)
    rows, truth = stretched_groups(n=400)
    assert adjusted_rand_score(truth, mixture_labels(rows, 3)) > 0.95


@pytest.mark.parametrize("rows", [np.zeros((20, 3)), np.ones((1, 4)), np.eye(2), np.zeros((5, 0))])
def test_what_has_no_groups_is_one_domain(rows):
    for labels in (mixture_labels(rows), mixture_labels(rows, 3), leiden_labels(rows, 0.5)):
        assert set(labels) == {"1"} and len(labels) == len(rows)
    assert len(kmeans_labels(rows, 3)) == len(rows)


def test_principal_components_keep_distances_and_drop_what_does_not_vary():
    rows, _ = stretched_groups(n=30)
    wide = np.hstack([rows, np.zeros((90, 30))])
    found = principal(wide)
    assert found.shape == (90, 4)
    assert np.linalg.norm(found[0] - found[50]) == pytest.approx(np.linalg.norm(rows[0] - rows[50]))


def test_few_rows_are_clustered_by_few_components():
    widths = [supported_components(rows) for rows in (1, 200, 262, 1000, 3639, 10**6)]
    assert widths == sorted(widths) and widths[0] == 2 and widths[-1] == 15
    assert widths[2] < 6 and widths[4] == 15
    rows, truth = stretched_groups(n=50, groups=2)
    noisy = np.hstack([rows, np.random.default_rng(1).normal(0, 1, (100, 60))])
    assert adjusted_rand_score(truth, mixture_labels(noisy, 2)) > 0.9


def test_votes_mend_a_lone_spot_and_keep_a_border():
    y, x = (grid.ravel() for grid in np.indices((9, 10)))
    positions = np.column_stack([x, y]) * 100.0
    border = np.where(x < 5, "1", "2").astype(object)
    noisy = border.copy()
    noisy[[22, 47]] = ["2", "1"]
    assert (smoothed_labels(noisy, positions, 150.0) == border).all()
    assert (smoothed_labels(border, positions, 150.0) == border).all()


def test_missing_labels_do_not_vote_and_stay_missing():
    positions = np.column_stack([np.arange(6) * 100.0, np.zeros(6)])
    labels = np.array([None, "1", None, "1", "2", "1"], dtype=object)
    smoothed = smoothed_labels(labels, positions, 110.0)
    assert smoothed[0] is None and smoothed[2] is None
    assert smoothed[4] == "1" and smoothed[1] == "1"


def test_a_draw_keeps_ones_own_label():
    positions = np.array([[0.0, 0.0], [100.0, 0.0]])
    assert smoothed_labels(np.array(["1", "2"], dtype=object), positions, 150.0).tolist() == ["1", "2"]


def test_a_spot_alone_keeps_its_embedding():
    positions = np.array([[0.0, 0.0], [100.0, 0.0], [5000.0, 0.0]])
    values = np.array([[0.0], [2.0], [7.0]])
    assert smoothed_embedding(values, positions, 150.0).ravel().tolist() == [1.0, 1.0, 7.0]


def test_neighbours_of_many_rows_are_nearly_the_exact_ones(monkeypatch):
    rows = np.random.default_rng(3).normal(size=(3000, 10))
    rows[7] = rows[8] = rows[9]
    exact = clusterers.nearest(rows, 15)
    monkeypatch.setattr(clusterers, "MOST_EXACT", 2999)
    found = clusterers.nearest(rows, 15)
    assert (np.diff(found.indptr) == 15).all() and found.diagonal().sum() == 0
    assert found.multiply(exact).sum() > 0.95 * exact.sum()
    assert (found != clusterers.nearest(rows, 15)).nnz == 0
