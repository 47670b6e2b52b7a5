"""The simulated biology has the structure that the stages look for."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls

from tissuemake.simulate import cell_types
from tissuemake.simulate.atlas import simulate_atlas
from tissuemake.simulate.expression import build_biology, donor_effect
from tissuemake.simulate.gene_catalogue import gene_catalogue
from tissuemake.simulate.outlines import VERTICES, Outlines, outline_cells
from tissuemake.simulate.staining import render, shape_nuclei
from tissuemake.simulate.tissue import SPOT_AREA_UM2, simulate_section
from tissuemake.simulate.vendor_folders import cell_table, section_donor, simulate_cells
from tissuemake.simulate.visium import capture_spots

PLANS = ["layered", "glandular", "infiltrated"]


@pytest.fixture(scope="module")
def simulated():
    section, cells = simulate_cells(seed=1, spots=150, n_genes=600)
    capture = capture_spots(section, cell_table(cells), cells.X, 1, 0.6)
    return section, cells, capture


@pytest.mark.parametrize("zones", PLANS)
def test_sections_have_the_asked_size_and_all_zones(zones):
    section = simulate_section(0, 200, zones)
    spots = (section.zone >= 0).sum() * 16 / SPOT_AREA_UM2
    assert spots == pytest.approx(200, rel=0.1)
    assert set(np.unique(section.zone)) == set(range(-1, len(section.zones)))
    assert all(sum(zone.shares.values()) == pytest.approx(1) for zone in section.zones)
    edge = np.concatenate([section.zone[[0, -1]].ravel(), section.zone[:, [0, -1]].ravel()])
    assert (edge == -1).all(), "glass all around"


def test_cells_stand_in_tissue_and_follow_their_zone(simulated):
    section, cells, _ = simulated
    assert (section.zone_at(*cells.obsm["spatial"].T) >= 0).all()
    assert set(cells.obs["cell_type"]) == set(cell_types.NAMES)
    share = pd.crosstab(cells.obs["zone"], cells.obs["cell_type"], normalize="index")
    assert share.loc["muscularis"].idxmax() == "Smooth muscle"
    assert share.loc["adipose"].idxmax() == "Adipocyte"
    assert share.loc["epithelium", ["Luminal epithelial", "Basal epithelial"]].sum() > 0.6


def test_streams_are_independent_of_size_of_other_parts():
    few, many = (simulate_cells(seed=2, spots=30, n_genes=count)[1] for count in (400, 500))
    np.testing.assert_array_equal(few.obsm["spatial"], many.obsm["spatial"])


def test_markers_mark_their_type(simulated):
    _, cells, _ = simulated
    roles = gene_catalogue()["role"].reindex(cells.var_names)
    total = np.asarray(cells.X.sum(axis=1)).ravel()
    for name in cell_types.NAMES:
        share = np.asarray(cells.X[:, (roles == name).to_numpy()].sum(axis=1)).ravel() / total
        own = (cells.obs["cell_type"] == name).to_numpy()
        assert share[own].mean() > 4 * share[~own].mean()


def test_counts_are_overdispersed(simulated):
    _, cells, _ = simulated
    own = cells[cells.obs["cell_type"] == "Fibroblast"].X.toarray()
    mean, variance = own.mean(axis=0), own.var(axis=0)
    common = mean > 2
    assert np.median(variance[common] / mean[common]) > 1.5


def test_expression_varies_over_the_tissue_within_a_type(simulated):
    """Nearest fibroblasts resemble each other more than distant ones: there is something to impute."""
    _, cells, _ = simulated
    own = cells[cells.obs["cell_type"] == "Fibroblast"]
    counts = own.X.toarray()
    level = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    level = level[:, (level > 0).mean(axis=0) > 0.5]
    level = (level - level.mean(axis=0)) / level.std(axis=0)
    away = np.linalg.norm(own.obsm["spatial"][:, None] - own.obsm["spatial"][None], axis=2)
    alike = level @ level.T / level.shape[1]
    near = alike[(away > 0) & (away < 60)].mean()
    far = alike[away > 600].mean()
    assert near > far + 0.03


def test_plans_of_one_seed_are_of_different_donors():
    biology = build_biology(2, 400)
    effects = [donor_effect(2, section_donor(zones), biology) for zones in PLANS]
    assert np.abs(np.corrcoef([effect.ravel() for effect in effects]) - np.eye(3)).max() < 0.1
    np.testing.assert_array_equal(effects[0], donor_effect(2, "section_donor", biology))


def test_the_effect_of_a_plans_donor_is_in_its_cells():
    """What cells of a type have more of than the biology says follows their own donor, not another's."""
    biology = build_biology(2, 400)
    for zones in ("layered", "infiltrated"):
        _, cells = simulate_cells(seed=2, spots=30, n_genes=400, zones=zones)
        kind = cell_types.NAMES.index(cells.obs["cell_type"].mode()[0])
        counts = np.asarray(cells.X[cells.obs["cell_type_index"].to_numpy() == kind].sum(axis=0)).ravel()
        known = counts > 200
        excess = np.log(counts[known] / counts.sum()) - np.log(biology.profiles[kind, known])
        own, other = (
            np.corrcoef(excess, donor_effect(2, section_donor(plan), biology)[kind, known])[0, 1]
            for plan in (zones, "glandular")
        )
        assert own > abs(other) + 0.25, (zones, own, other)


def test_deconvolution_is_possible_but_not_trivial(simulated):
    """NNLS on the atlas's mean profiles: good, not perfect; with types shuffled, nothing."""
    _, _, capture = simulated
    atlas = simulate_atlas(build_biology(1, 600), 1, 600, 0.6)
    cells = atlas.X.toarray()
    cells /= cells.sum(axis=1, keepdims=True)
    kinds = atlas.obs["cell_type"].to_numpy()
    signatures = np.array([cells[kinds == name].mean(axis=0) for name in cell_types.NAMES])
    inside = capture.spots["in_tissue"].to_numpy(bool) & (capture.composition.sum(axis=1).to_numpy() > 0)
    counts = capture.counts[inside].toarray()
    counts = counts / counts.sum(axis=1, keepdims=True)
    truth = capture.composition[inside]
    truth = truth.div(truth.sum(axis=1), axis=0).to_numpy()
    found = np.array([nnls(signatures.T, spot)[0] for spot in counts])
    found /= found.sum(axis=1, keepdims=True)
    r = [np.corrcoef(found[:, k], truth[:, k])[0, 1] for k in range(truth.shape[1])]
    assert 0.7 < np.mean(r) < 0.93


def test_visium_depth_is_realistic(simulated):
    _, _, capture = simulated
    inside = capture.spots["in_tissue"].to_numpy(bool)
    total = np.asarray(capture.counts[inside].sum(axis=1)).ravel()
    assert 4000 < np.median(total) < 11000
    mitochondrial = np.array([name.startswith("MT-") for name in gene_catalogue().index[:600]])
    share = capture.counts[inside][:, mitochondrial].sum() / total.sum()
    assert 0.01 < share < 0.2


def test_histology_informs_composition(simulated):
    """Colour and texture of the tile under a spot predict the share of types on spots that were held out."""
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.preprocessing import StandardScaler

    section, cells, capture = simulated
    picture = render(section, cell_table(cells), 1, mpp=1.0).astype(float)
    inside = capture.spots[capture.spots["in_tissue"] == 1]
    features = []
    for x, y in inside[["x", "y"]].to_numpy().astype(int):
        tile = picture[max(y - 40, 0) : y + 40, max(x - 40, 0) : x + 40].reshape(-1, 3)
        features.append(np.concatenate([tile.mean(axis=0), tile.std(axis=0), np.quantile(tile, 0.1, axis=0)]))
    features = StandardScaler().fit_transform(features)
    # Spots stand in raster order: unshuffled folds would be whole layers.
    folds = KFold(5, shuffle=True, random_state=0)
    share = capture.composition.loc[inside.index]
    share = share.div(share.sum(axis=1).clip(lower=1), axis=0)
    for name in ("Luminal epithelial", "Smooth muscle", "B cell"):
        found = cross_val_predict(RidgeCV(), features, share[name].to_numpy(), cv=folds)
        assert np.corrcoef(found, share[name])[0, 1] > 0.6, name


def test_picture_is_white_glass_and_stained_tissue(simulated):
    section, cells, _ = simulated
    picture = render(section, cell_table(cells), 1, mpp=2.0)
    assert picture.dtype == np.uint8 and picture.shape == (round(section.size_um / 2),) * 2 + (3,)
    rows, cols = (np.indices(picture.shape[:2]) * 2 + 1).astype(float)
    zone = section.zone_at(cols, rows)
    assert picture[zone == -1].mean() > 230
    for index, kind in enumerate(section.zones):
        if kind.texture != "fat":
            red, green, _ = picture[zone == index].mean(axis=0)
            assert green < 190 and green < red, "pink or purple"


def test_outlines_do_not_overlap_and_locate_their_own_centre(simulated):
    from shapely import STRtree, polygons

    section, cells, _ = simulated
    nuclei = shape_nuclei(section, cell_table(cells), 1).iloc[:400]
    outlines = outline_cells(nuclei)
    found, in_nucleus, distance = outlines.locate(outlines.centres)
    np.testing.assert_array_equal(found, np.arange(400))
    assert in_nucleus.all() and (distance == 0).all()
    shapes = polygons(outlines.polygons(outlines.cell))
    left, right = STRtree(shapes).query(shapes, predicate="intersects")
    overlap = [shapes[i].intersection(shapes[j]).area for i, j in zip(left, right, strict=True) if i < j]
    assert max(overlap, default=0) < 0.5


def test_locate_knows_nucleus_cell_and_outside():
    circle = np.ones((1, VERTICES))
    outlines = Outlines(np.zeros((1, 2)), 3 * circle, 6 * circle)
    cell, in_nucleus, distance = outlines.locate(np.array([[1.0, 0], [5.0, 0], [9.0, 0]]))
    assert cell.tolist() == [0, 0, -1]
    assert in_nucleus.tolist() == [True, False, False]
    assert distance == pytest.approx([0, 2, 6])
    assert outlines.area(outlines.cell)[0] == pytest.approx(np.pi * 36, rel=0.06)
