"""The lattice fit finds the pitch of turned, mirrored and partial lattices."""

import numpy as np
import pandas as pd
import pytest

from tissuemake.ingest.lattice import fit_lattice, fit_pitch_px, grid_from_coordinates, ideal_lattice


def lattice(kind: str, rows=range(12), cols=range(16)) -> pd.DataFrame:
    """Array coordinates of a hexagonal, square or 2k lattice."""
    table = pd.DataFrame([(r, c) for r in rows for c in cols], columns=["array_row", "array_col"])
    if kind != "square":
        table = table[(table["array_row"] + table["array_col"]) % 2 == 0]
    return table


@pytest.mark.parametrize("kind", ["hexagonal", "square", "2k"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_pitch_is_found_whatever_the_slide_is_turned(kind, mirrored):
    table = lattice(kind)
    name = "square" if kind == "2k" else kind
    ideal = ideal_lattice(table["array_row"], table["array_col"], name)
    turn = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    noise = np.random.default_rng(0).normal(0, 2, ideal.shape)
    table[["x", "y"]] = 137 * ideal @ turn * ([1, -1] if mirrored else [1, 1]) + [5000, 300] + noise
    fit = fit_lattice(table, name)
    assert fit.pitch_px == pytest.approx(137, rel=2e-3)
    assert fit.residual < 0.05


def test_neighbours_are_one_pitch_apart():
    for kind, name in (("hexagonal", "hexagonal"), ("square", "square"), ("2k", "square")):
        table = lattice(kind)
        ideal = ideal_lattice(table["array_row"], table["array_col"], name)
        gaps = np.linalg.norm(ideal[:, None] - ideal[None], axis=-1)
        np.fill_diagonal(gaps, np.inf)
        assert gaps.min(1) == pytest.approx(1.0)


def test_one_row_of_spots_is_enough_and_one_spot_is_not():
    table = lattice("hexagonal", rows=[4])
    table["x"], table["y"] = 50.0 * table["array_col"], 400.0
    assert fit_pitch_px(table) == pytest.approx(100.0)
    assert fit_pitch_px(table.head(1)) is None
    assert fit_pitch_px(table[["x", "y"]]) is None


def test_mixed_up_columns_show_in_the_residual():
    table = lattice("hexagonal")
    ideal = ideal_lattice(table["array_row"], table["array_col"], "hexagonal")
    table[["x", "y"]] = 100 * ideal[np.random.default_rng(0).permutation(len(ideal))]
    assert fit_lattice(table).residual > 1


def test_grid_is_told_from_scatter():
    rows, cols = (index.ravel() for index in np.indices((7, 9)))
    xy = np.column_stack([750.0 * cols + 30, 750.0 * rows])
    found = grid_from_coordinates(np.delete(xy, [3, 17, 40], axis=0))
    assert found[2] == 750.0
    assert (found[0] == np.delete(rows, [3, 17, 40])).all()
    assert grid_from_coordinates(np.random.default_rng(0).uniform(0, 9, (60, 2))) is None
