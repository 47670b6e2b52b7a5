"""Who is whose neighbour: rings, radius, directions, holes, and the same answer as squidpy's."""

import anndata as ad
import numpy as np
import pytest
import squidpy as sq

from tissuemake.models.sagefm import graph


def hexagonal(rows: int = 15, columns: int = 15, pitch: float = 100.0) -> np.ndarray:
    row, column = (axis.ravel() for axis in np.indices((rows, columns)))
    return np.column_stack([column + 0.5 * (row % 2), row * np.sqrt(3) / 2]) * pitch


def square(side: int = 15, pitch: float = 200.0) -> np.ndarray:
    return np.column_stack([axis.ravel() for axis in np.indices((side, side))]).astype(float) * pitch


def by_hand(positions: np.ndarray, radius: float, most: int) -> list[set[int]]:
    far = np.hypot(*(positions[:, None] - positions[None]).transpose(2, 0, 1))
    np.fill_diagonal(far, np.inf)
    return [{int(j) for j in np.argsort(row)[:most] if row[j] <= radius} for row in far]


def sets(found: graph.Neighborhood) -> list[set[int]]:
    return [set(row[row >= 0].tolist()) for row in found.index]


@pytest.mark.parametrize(
    ("positions", "lattice", "sizes"),
    [(hexagonal(), "hexagonal", [6, 12, 18]), (square(), "square", [8, 12, 16])],
)
def test_rings_inside_a_lattice(positions, lattice, sizes):
    found = graph.lattice_rings(positions, lattice)
    middle = len(positions) // 2
    assert (found.size, found.width) == (len(positions), 36)
    assert np.bincount(found.ring[middle]).tolist() == sizes
    assert (np.diff(found.distance[middle]) >= 0).all()
    assert found.distance[middle, 0] == pytest.approx(1, abs=1e-3)
    assert found.index.dtype == np.int32 and found.ring.dtype == np.int8
    assert found.distance.dtype == found.angle.dtype == np.float32


def test_fewer_rings_are_the_inner_ones():
    found = graph.lattice_rings(hexagonal(), "hexagonal", 2)
    assert found.width == 18
    assert np.bincount(found.ring[112]).tolist() == [6, 12]


def test_neighbors_are_mutual_and_never_oneself():
    for found in (graph.lattice_rings(hexagonal(), "hexagonal"), graph.within_radius(square(), 500.0, 30)):
        who = sets(found)
        assert all(i not in others and all(i in who[j] for j in others) for i, others in enumerate(who))


def test_directions_point_from_the_center_to_the_neighbor():
    positions = hexagonal()
    found = graph.lattice_rings(positions, "hexagonal")
    there = found.index >= 0
    step = np.stack([np.cos(found.angle), np.sin(found.angle)], axis=-1) * found.distance[..., None]
    reached = positions[:, None] + step * found.pitch_um
    assert np.abs(reached - positions[found.index])[there].max() < 1e-2
    first = np.sort(found.angle[112, :6])
    assert np.diff(first) == pytest.approx(np.full(5, np.pi / 3), abs=1e-3)


def test_isolated_and_torn():
    """An island of one has nobody; over a hole of four pitches nobody is reached."""
    positions = hexagonal()
    torn = positions[(positions[:, 0] < 400) | (positions[:, 0] > 850)]
    positions = np.vstack([torn, [[1e5, 1e5]]])
    found = graph.lattice_rings(positions, "hexagonal")
    assert (found.index[-1] == -1).all() and (found.ring[-1] == -1).all()
    assert not found.distance[-1].any() and not found.angle[-1].any()
    left = positions[:, 0] < 400
    there = found.index >= 0
    assert (left[found.index] == left[:, None])[there].all()
    assert found.distance.max() <= 3.1
    assert (np.diff(there.astype(int), axis=1) <= 0).all()  # empty places come last


def test_hole_does_not_renumber_rings():
    positions = hexagonal()
    beside = positions[112] + [100.0, 0]
    behind = positions[112] + [200.0, 0]
    positions = positions[np.hypot(*(positions - beside).T) > 1]
    found = graph.lattice_rings(positions, "hexagonal")
    place = np.flatnonzero(np.hypot(*(positions[found.index[112]] - behind).T) < 1)
    assert found.ring[112, place].tolist() == [1]


def test_printed_spots_off_their_lattice():
    """Legacy ST: the pitch is found although the nearest spot is nearer, and rings stay whole."""
    positions = square(20) + np.random.default_rng(0).normal(0, 4, (400, 2))
    found = graph.lattice_rings(positions, "square")
    assert found.pitch_um == pytest.approx(200, rel=0.01)
    ideal = graph.lattice_rings(square(20), "square")
    assert np.mean([a == b for a, b in zip(sets(found), sets(ideal), strict=True)]) > 0.95


def test_stated_pitch_helps_a_torn_lattice():
    positions = hexagonal(30, 30)
    few = positions[np.random.default_rng(1).random(len(positions)) < 0.08]
    assert graph.lattice_rings(few, "hexagonal", pitch_um=100.0).pitch_um == pytest.approx(100, rel=0.01)
    assert graph.lattice_rings(few, "hexagonal").pitch_um > 120


def test_radius_takes_the_nearest_of_those_within():
    positions = np.random.default_rng(0).uniform(0, 300, (500, 2))
    found = graph.within_radius(positions, 40.0, 20)
    assert sets(found) == by_hand(positions, 40.0, 20)
    there = found.index >= 0
    assert (found.distance[there] * found.pitch_um <= 40.0 + 1e-3).all()
    assert set(found.ring[there].tolist()) == {0, 1, 2}
    assert found.ring[there].max() == 2 and (found.ring[~there] == -1).all()


def test_neighbours_are_those_of_squidpy_and_blocks_change_nothing(monkeypatch):
    positions = np.random.default_rng(0).uniform(0, 300, (700, 2))
    whole = graph.within_radius(positions, 1e4, 36)
    bare = ad.AnnData(shape=(700, 0), obsm={"spatial": positions})
    peer = sq.gr.spatial_neighbors_knn(bare, n_neighs=36, copy=True).connectivities
    assert sets(whole) == [set(row) for row in peer.indices.reshape(700, 36).tolist()]
    monkeypatch.setattr(graph, "BLOCK", 150)
    parted = graph.within_radius(positions, 1e4, 36)
    for name in ("index", "distance", "angle", "ring"):
        assert np.array_equal(getattr(whole, name), getattr(parted, name)), name


def test_observations_in_the_same_place():
    """Twins are neighbours at distance zero, also when there are more of them than places."""
    positions = np.vstack([np.zeros((9, 2)), [[1.0, 0.0], [50.0, 0.0]]])
    found = graph.within_radius(positions, 2.0, 4)
    assert all(i not in others and len(others) == 4 for i, others in enumerate(sets(found)[:9]))
    assert all(others <= set(range(10)) for others in sets(found)[:9])
    assert sets(found)[10] == set()
    assert np.isfinite(found.distance).all() and np.isfinite(found.angle).all()


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_fewer_observations_than_places(n):
    positions = hexagonal(1, 5)[:n]
    for found in (
        graph.lattice_rings(positions, "hexagonal"),
        graph.within_radius(positions, 1e4),
        graph.cliques(positions, 37),
    ):
        assert found.index.shape == (n, 36)
        assert (found.index >= 0).sum(axis=1).max(initial=0) <= max(n - 1, 0)
    assert sets(graph.within_radius(positions, 1e4)) == [set(range(n)) - {i} for i in range(n)]


def test_clique_is_the_nearest_however_far():
    positions = np.random.default_rng(0).uniform(0, 1e6, (50, 2))
    found = graph.cliques(positions)
    assert found.width == 14
    assert sets(found) == by_hand(positions, np.inf, 14)
    assert not found.ring.any()


def section(positions: np.ndarray, lattice: str, mpp: float = 0.5) -> ad.AnnData:
    return ad.AnnData(
        shape=(len(positions), 0),
        obsm={"spatial": positions / mpp},
        uns={
            "spatial": {"s": {"scalefactors": {"microns_per_pixel": mpp}}},
            "tissuemake": {
                "sample": "s",
                "lattice": lattice,
                "pitch_um": 100.0 if lattice != "none" else 0.0,
            },
        },
    )


def test_sample_without_a_lattice_gets_about_36():
    positions = np.random.default_rng(0).uniform(0, 1000, (3000, 2))
    found = graph.neighborhood_of(section(positions, "none"))
    assert found.width == 36
    assert 30 < (found.index >= 0).sum(axis=1).mean() <= 36
    assert found.pitch_um == pytest.approx(0.5 * np.sqrt(1e6 / 3000), rel=0.1)


def test_sample_on_a_lattice_gets_rings():
    found = graph.neighborhood_of(section(hexagonal(), "hexagonal"), rings=1)
    assert found.width == 6 and found.pitch_um == pytest.approx(100, rel=1e-3)


def test_shuffled_gives_the_neighbors_of_a_stranger():
    true = graph.lattice_rings(hexagonal(), "hexagonal")
    control = graph.shuffled(true, seed=3)
    assert not any(i in others for i, others in enumerate(sets(control)))
    rows = {row.tobytes(): i for i, row in enumerate(true.index)}
    givers = np.array([rows[row.tobytes()] for row in control.index])
    assert sorted(givers) == list(range(len(givers)))
    assert not any(i in (g, *true.index[g]) for i, g in enumerate(givers))
    for name in ("distance", "angle", "ring"):
        assert np.array_equal(getattr(control, name), getattr(true, name)[givers])
    assert np.array_equal(control.index, graph.shuffled(true, seed=3).index)
    assert not np.array_equal(control.index, graph.shuffled(true, seed=4).index)


def test_shuffled_shows_nobody_to_himself_on_a_small_section():
    control = graph.shuffled(graph.within_radius(hexagonal(1, 5), 1e4), seed=0)
    assert not any(i in others for i, others in enumerate(sets(control)))
    empty = control.index < 0
    assert (np.diff(empty.astype(int), axis=1) >= 0).all()
    assert (control.ring[empty] == -1).all() and not control.distance[empty].any()


def test_turned_puts_spots_among_strangers_at_the_same_distance_from_the_center():
    positions = hexagonal(30, 30)
    adata = section(positions, "hexagonal")
    true, control = graph.neighborhood_of(adata), graph.turned(adata, seed=0)
    assert control.width == true.width and control.pitch_um == pytest.approx(true.pitch_um)
    kept = [len(a & b) / 36 for a, b in zip(sets(true), sets(control), strict=True)]
    assert np.mean(kept) < 0.1
    off_center = np.hypot(*(positions - positions.mean(axis=0)).T)
    there = control.index >= 0
    apart = np.abs(off_center[control.index] - off_center[:, None])[there]
    assert (apart <= control.distance[there] * 100 + 0.1).all()
    assert (control.index >= 0).sum(axis=1).mean() > 20
    assert not np.array_equal(control.index, graph.turned(adata, seed=1).index)
