"""Simulated problems are what they say: other donors, known compositions, the same panel for everyone."""

import numpy as np
import pytest

from benchmarks import shifts, simulated
from tissuemake.simulate.tissue import stream

SEED = 7


@pytest.fixture(scope="module")
def cells(work):
    return {problem.name: problem for problem in simulated.four_cells(SEED, work)}


def test_no_donor_is_in_the_atlas_and_in_the_spots(cells):
    atlas = set(cells["balanced shift 0"].reference.obs["donor"])
    assert atlas == set(simulated.ATLAS_DONORS)
    assert not atlas & set(simulated.unseen_cells(SEED).donors)


def test_depth_cells_and_shares(cells):
    problem = cells["balanced shift 0"]
    depth = np.asarray(problem.spots.X.sum(axis=1)).ravel()
    assert 2500 < np.median(depth) < 3500
    np.testing.assert_allclose(problem.truth.sum(axis=1), 1)
    assert list(problem.truth) == list(simulated.TYPES) == list(dict.fromkeys(problem.truth))
    assert not problem.absent


def test_a_skewed_tissue_is_ruled_by_one_type(cells):
    even, skewed = (cells[f"{name} shift 0"].truth.mean() for name in ("balanced", "skewed"))
    assert even.max() < 0.1 and skewed.max() > 0.4
    assert skewed.min() < 0.01


def test_the_shift_changes_genes_and_nothing_else(cells):
    plain, shifted = cells["balanced shift 0"], cells["balanced shift 1"]
    assert plain.atlas == shifted.atlas
    totals = [np.asarray(problem.spots.X.sum(axis=0)).ravel() for problem in (plain, shifted)]
    seen = (totals[0] > 200) & (totals[1] > 0)
    assert 0.8 < np.log(totals[1][seen] / totals[0][seen]).std() < 1.2


def test_mixing_counts_every_cell_once():
    cells = simulated.unseen_cells(SEED)
    composition, molecules = simulated.mix(cells, simulated.balanced(stream(1, "t"), 20), stream(1, "m"))
    sizes = composition.sum(axis=1)
    assert sizes.min() >= 1 and sizes.max() <= simulated.MOST_CELLS
    per_cell = np.asarray(cells.molecules.sum(axis=1)).ravel()
    inside = np.asarray(molecules.sum(axis=1)).ravel()
    assert (inside >= sizes * per_cell.min()).all() and (inside <= sizes * per_cell.max()).all()


def test_the_absent_type_is_in_half_of_the_spots_and_not_in_the_atlas(work):
    problem = shifts.unknown(SEED, work)[0]
    absent = shifts.absent_type(SEED)
    assert problem.absent == [f"{absent} A", f"{absent} B"]
    assert not problem.reference.obs["cell_type"].str.startswith(absent).any()
    share = problem.truth[problem.absent].sum(axis=1).to_numpy()
    half = simulated.SPOTS // 2
    assert (share[half:] == 0).all() and (share[:half] > 0).mean() > 0.6


def test_seeds_leave_out_different_types():
    assert len({shifts.absent_type(seed) for seed in range(5)}) == 5


def test_a_panel_is_informative_and_of_its_size(cells):
    whole = cells["balanced shift 0"]
    small = shifts.panel(whole, 100, stream(SEED, "panel"))
    again = shifts.panel(whole, 100, stream(SEED, "panel"))
    assert small.spots.n_vars == 100 and list(small.spots.var_names) == list(again.spots.var_names)
    markers = whole.atlas.markers
    best = markers[markers["rank"] <= shifts.PANEL_MARKERS]
    each = best[best["gene"].isin(small.spots.var_names)].groupby("cell_type", observed=True).size()
    assert len(each) == len(simulated.TYPES) and each.min() >= 4


def test_transfer_asks_the_same_spots_of_two_atlases(work, monkeypatch):
    monkeypatch.setattr(shifts, "SPOTS", 60)
    monkeypatch.setattr(shifts, "ATLAS_CELLS_PER_TYPE", 12)
    away, home = shifts.transfer(SEED, work)
    assert away.spots is home.spots and away.truth is home.truth
    assert set(away.reference.obs["donor"]).isdisjoint(home.reference.obs["donor"])
    assert set(away.atlas.signatures) == set(home.atlas.signatures)
    assert away.spots.n_obs > 40 and (away.truth.sum(axis=1).round(6) == 1).all()
