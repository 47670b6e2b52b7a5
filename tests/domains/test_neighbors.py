"""Neighbours: rings on lattices, contacts between cells, means in µm."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from tissuemake.domains.neighbors import contact_graph, microns, neighborhood_mean, neighborhood_radius


@pytest.mark.parametrize(("lattice", "inner", "reach"), [("hexagonal", 6, 101), ("square", 4, 101)])
def test_lattice_spots_touch_their_first_ring(zoned, lattice, inner, reach):
    positions = microns(zoned(lattice=lattice))
    graph = contact_graph(positions, lattice)
    distances = cdist(positions, positions)
    np.testing.assert_array_equal(graph.toarray() > 0, (distances > 0) & (distances < reach))
    assert np.diff(graph.indptr).max() == inner


def test_cells_touch_their_delaunay_neighbors_but_not_across_a_gap(zoned):
    positions = microns(zoned(lattice="none"))
    positions[:, 0] += np.where(positions[:, 0] > 950, 2000, 0)
    graph = contact_graph(positions, "none")
    left = positions[:, 0] < 1500
    assert graph[left][:, ~left].nnz == 0
    assert 4 < np.diff(graph.indptr).mean() < 6.1
    assert (graph != graph.T).nnz == 0 and graph.diagonal().sum() == 0


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_few_observations_and_those_on_a_line_have_a_graph(n):
    positions = np.column_stack([np.arange(n) * 10.0, np.zeros(n)])
    for lattice in ("none", "square", "hexagonal"):
        graph = contact_graph(positions, lattice)
        assert graph.shape == (n, n)
        assert n == 1 or np.diff(graph.indptr).min() >= 1


def test_neighborhood_mean_is_over_the_others_within_the_radius(monkeypatch):
    monkeypatch.setattr("tissuemake.domains.neighbors.PAIRS_AT_ONCE", 30)
    rng = np.random.default_rng(0)
    positions, values = rng.uniform(0, 100, (40, 2)), rng.normal(size=(40, 3))
    positions[0] = 1000
    near = (cdist(positions, positions) <= 20) & ~np.eye(40, dtype=bool)
    means = neighborhood_mean(values, positions, 20)
    np.testing.assert_array_equal(means[0], values[0])
    for i in range(1, 40):
        np.testing.assert_allclose(means[i], values[near[i]].mean(0) if near[i].any() else values[i])


def test_radius_follows_the_pitch_and_never_falls_below_sixty_micrometres():
    positions = np.column_stack([np.arange(30) * 750.0, np.zeros(30)])
    assert neighborhood_radius(positions, 100) == pytest.approx(180)
    assert neighborhood_radius(positions, 8) == 60
    assert neighborhood_radius(positions, 0) == pytest.approx(1.8 * 750)
