"""Maps between spots: mass is conserved, detail comes from the image, and what has no gaps is refused."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from models.histology_heads.toy_sections import (
    MICRONS_PER_PIXEL,
    PITCH_UM,
    ToySection,
    lattice,
    spot_tiles,
    write_embeddings,
    write_filtered,
)
from tissuemake.contracts import HIGHRES, read_anndata
from tissuemake.errors import InputError
from tissuemake.evaluation.metrics import pearson
from tissuemake.models.histology_heads.between_spots import conserve, place, spread
from tissuemake.models.histology_heads.highres import conservation_error, predict_highres

STEP_UM = 25.0
SIDE = 10
GENES = 12


def pattern(positions: np.ndarray) -> np.ndarray:
    """Two fields (n, 2) of the tissue that vary faster than the pitch, along x and along y."""
    return np.sin(2 * np.pi * positions / (2.3 * PITCH_UM))


def profile(positions: np.ndarray) -> np.ndarray:
    """Share of each gene (n, genes)."""
    loadings = np.random.default_rng(5).normal(0, 0.8, (2, GENES))
    weight = np.exp(pattern(positions) @ loadings)
    return weight / weight.sum(1, keepdims=True)


def fine_positions() -> np.ndarray:
    return lattice(4 * SIDE, STEP_UM) - PITCH_UM / 2 + 3.0


def section(folder, *, depth: int = 1500, **options) -> ToySection:
    rng = np.random.default_rng(0)
    spots = lattice(SIDE, PITCH_UM)
    counts = rng.poisson(depth * profile(spots))
    counts[7] *= np.arange(GENES) != 2  # nothing of a gene was counted in one spot
    written = write_filtered(folder / "filtered.h5ad", "toy", spots, counts, **options)
    fine = fine_positions()
    names = [f"g{i}" for i in range(len(fine))]
    grid = pd.DataFrame({"kind": "grid", "x": fine[:, 0], "y": fine[:, 1]}, index=names)
    places = np.vstack([spots, fine])
    noise = rng.normal(0, 0.1, (len(places), 5))
    noise[:, :2] += pattern(places)
    write_embeddings(folder / "toy.h5ad", pd.concat([spot_tiles(written), grid]), noise)
    return ToySection(folder / "filtered.h5ad", folder / "toy.h5ad", folder / "none")


def predicted(folder, toy, **options) -> ad.AnnData:
    predict_highres(toy.filtered, toy.embeddings, folder / "fine.h5ad", **options)
    return read_anndata(folder / "fine.h5ad", HIGHRES)


def test_positions_inside_a_spot_average_to_what_it_measured(tmp_path):
    toy = section(tmp_path)
    fine = predicted(tmp_path, toy)
    spots = ad.read_h5ad(toy.filtered)
    inside = fine.obs["spot"] != ""
    linear = pd.DataFrame(np.expm1(fine.X.astype(float)), index=fine.obs_names, columns=fine.var_names)
    average = linear[inside].groupby(fine.obs["spot"][inside].astype(str)).mean()
    truth = np.expm1(spots[average.index, fine.var_names].X.toarray().astype(float))
    assert len(average) == spots.n_obs
    # X is single precision on a log scale.
    np.testing.assert_allclose(average, truth, rtol=1e-5, atol=1e-5 * truth.mean())
    assert (truth == 0).any()
    assert fine.uns["tissuemake"]["conservation_error"] < 1e-5
    assert np.isfinite(fine.X).all() and (fine.X >= 0).all()


def test_a_loss_of_mass_stops_the_run():
    positions = fine_positions()
    laid = place(positions, lattice(SIDE, PITCH_UM), 55.0, STEP_UM)
    counted = np.ones((SIDE**2, 3))
    assert conservation_error(np.ones((len(positions), 3)), counted, laid.member) == pytest.approx(0)
    with pytest.raises(ArithmeticError, match="differ"):
        conservation_error(np.full((len(positions), 3), 1.001), counted, laid.member)


def test_detail_between_spots_comes_from_the_image(tmp_path):
    toy = section(tmp_path)
    fine = predicted(tmp_path, toy)
    place_um = fine.obsm["spatial"] * MICRONS_PER_PIXEL
    spots = ad.read_h5ad(toy.filtered)[:, fine.var_names]
    away = np.linalg.norm(place_um[:, None] - lattice(SIDE, PITCH_UM), axis=2)
    truth = np.log1p(profile(place_um) * 1e4)[:, [int(name[1:]) for name in fine.var_names]]
    nearest = spots.X.toarray()[away.argmin(1)]
    quarter = np.abs(away.min(1) - PITCH_UM / 4) < 8
    between = away.min(1) > 40
    for where, gain in ((quarter, 0.02), (between, 0.3)):
        ours = pearson(fine.X[where], truth[where]).mean()
        assert ours > pearson(nearest[where], truth[where]).mean() + gain
        assert pearson(fine.layers["unbound"][where], truth[where]).mean() >= ours - 0.01


def test_rows_are_the_grid_and_genes_the_most_variable(tmp_path):
    toy = section(tmp_path)
    fine = predicted(tmp_path, toy, genes=5)
    spots = ad.read_h5ad(toy.filtered)
    variance = pd.Series(spots.X.toarray().var(0), index=spots.var_names)
    assert set(fine.var_names) == set(variance.nlargest(5).index)
    assert fine.obs["step_um"].eq(STEP_UM).all()
    own = fine.obs["spot"] != ""
    spot = spots[fine.obs.loc[own, "spot"].astype(str)].obsm["spatial"]
    away = np.linalg.norm(fine.obsm["spatial"][own] - spot, axis=1) * MICRONS_PER_PIXEL
    assert away.max() <= 55 / 2 and own.sum() > SIDE**2


def test_counting_noise_of_a_spot_stays_under_it():
    rng = np.random.default_rng(0)
    positions, spots = fine_positions(), lattice(SIDE, PITCH_UM)
    laid = place(positions, spots, 55.0, STEP_UM)
    bent = conserve(np.ones((len(positions), 1)), rng.gamma(4, 0.25, (len(spots), 1)), laid)[:, 0]
    away = np.linalg.norm(positions[:, None] - spots, axis=2).min(1)
    far = np.abs(bent[away > 50] - 1)
    assert far.max() < 0.15 < np.abs(bent[away < 15] - 1).max()
    assert (bent > 0).all()


def test_what_cannot_be_bent_is_refused():
    laid = place(fine_positions(), lattice(SIDE, PITCH_UM), 55.0, STEP_UM)
    with pytest.raises(ValueError, match="positive"):
        conserve(np.zeros((len(fine_positions()), 1)), np.ones((SIDE**2, 1)), laid)


def test_small_spots_still_hold_a_position():
    laid = place(fine_positions(), lattice(SIDE, PITCH_UM), 5.0, STEP_UM)
    assert (np.diff(sp.csr_matrix(laid.member).indptr) > 0).all()


def test_residuals_are_spread_smoothly_and_shrunk():
    spots = lattice(SIDE, PITCH_UM)
    flat = spread(np.ones((len(spots), 1)), spots, spots, PITCH_UM)
    assert 0.5 < flat[55, 0] < 1
    assert flat[0, 0] < flat[55, 0]  # a corner has fewer neighbours
    far = spread(np.ones((len(spots), 1)), spots, spots + 1e5, PITCH_UM)
    assert (far == 0).all()


@pytest.mark.parametrize(
    ("options", "change", "code", "said"),
    [
        ({"observation": "cell"}, None, "nothing_between", "cells"),
        ({}, "no grid", "no_grid_tiles", "overlap"),
        ({}, "coarse", "tiles_too_coarse", "overlap by 0.78"),
        ({}, "few", "too_few_spots", "5 spots"),
    ],
)
def test_what_has_no_fine_tiles_is_refused(tmp_path, options, change, code, said):
    toy = section(tmp_path, **options)
    tiles = ad.read_h5ad(toy.embeddings)
    own = (tiles.obs["kind"] == "spot").to_numpy()
    column = np.arange(tiles.n_obs) - own.sum()
    keep = {
        "no grid": own,
        "coarse": own | ((column % 4 == 0) & (column // (4 * SIDE) % 4 == 0)),
        "few": ~own | (np.arange(tiles.n_obs) < 5),
    }.get(change)
    if keep is not None:
        tiles[keep].copy().write_h5ad(toy.embeddings)
    with pytest.raises(InputError) as caught:
        predicted(tmp_path, toy)
    assert caught.value.code == code
    assert said in str(caught.value)
