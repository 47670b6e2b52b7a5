"""Bins and cells are predicted from the grid tile that they lie on, by a head that was fitted on spots."""

import anndata as ad
import numpy as np
import pytest

from tissuemake.contracts import FILTERED, INGESTED, read_anndata, write_anndata
from tissuemake.histology.encoders import embed_tiles
from tissuemake.histology.tiles import tile_slide
from tissuemake.ingest import open_reader
from tissuemake.models.histology_heads import section_prediction
from tissuemake.models.histology_heads.expression import fit_expression, predict_expression
from tissuemake.models.spot_vectors import read_spot_vectors
from tissuemake.quality.filter import filter_spots
from tissuemake.sheets import Sample
from tissuemake.simulate.vendor_folders import simulate_tissue

IMAGES = {
    "visium": {"image": "tissue_image.tif"},
    "visium_hd": {},
    "xenium": {"image": "he_image.ome.tif", "alignment": "he_imagealignment.csv"},
}


def prepare(tissue, folder, assay):
    """Filtered observations and embeddings of one platform's view of the tissue."""
    files = {name: str(tissue / assay / file) for name, file in IMAGES[assay].items()}
    row = Sample(assay, assay, str(tissue / assay), donor=assay, organism="human", **files)
    paths = {name: folder / f"{assay}.{name}" for name in ("ingested", "filtered", "tiles", "embeddings")}
    write_anndata(open_reader(row).read(), paths["ingested"], INGESTED)
    filter_spots(paths["ingested"], paths["filtered"], None, overrides={})
    tile_slide(paths["ingested"], paths["tiles"])
    embed_tiles(paths["tiles"], paths["embeddings"])
    return paths["filtered"], paths["embeddings"]


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    simulate_tissue(folder / "tissue", seed=1, spots=80, n_genes=400, atlas_cells=60)
    found = {assay: prepare(folder / "tissue", folder, assay) for assay in IMAGES}
    fit_expression([found["visium"]], folder / "head")
    return folder, found


def predicted(views, assay, name="out"):
    folder, found = views
    predict_expression(*found[assay], folder / "head", folder / f"{name}.h5ad")
    return ad.read_h5ad(folder / f"{name}.h5ad")


@pytest.mark.parametrize("assay", ["visium_hd", "xenium"])
def test_what_lies_on_a_tile_gets_its_answer(views, assay):
    found = predicted(views, assay)
    image = read_spot_vectors(*views[1][assay])
    assert found.n_obs == image.spots.n_obs and image.seen.mean() > 0.9
    assert np.isfinite(found.X[image.seen]).all() and np.isnan(found.X[~image.seen]).all()
    shared = image.row[image.seen]
    assert len(np.unique(shared)) < len(shared) / 5
    for tile in np.unique(shared):
        assert np.ptp(found.X[image.row == tile], axis=0).max() == 0
    best = found.var["held_out_r"].nlargest(20)
    assert best.mean() > 0.15 and found.var["held_out_r"].median() > 0


def test_an_answer_is_that_of_the_tile_among_tiles(views):
    """Not among bins, whose neighbours lie on the same tile: each tile counts once, wherever most bins are."""
    whole = predicted(views, "xenium")
    image = read_spot_vectors(*views[1]["xenium"])
    folder, (filtered, embeddings) = views[0], views[1]["xenium"]
    one_each = np.unique(image.row[image.seen], return_index=True)[1]
    spots = read_anndata(filtered, FILTERED)[np.flatnonzero(image.seen)[one_each]].copy()
    spots.obsm["spatial"] = image.tiles.obs[["x", "y"]].to_numpy(float)[np.unique(image.row[image.seen])]
    write_anndata(spots, folder / "one_each.filtered", FILTERED)
    predict_expression(folder / "one_each.filtered", embeddings, folder / "head", folder / "one_each.h5ad")
    few = ad.read_h5ad(folder / "one_each.h5ad")
    np.testing.assert_allclose(few.X, whole[few.obs_names].X, atol=1e-5)


def test_many_bins_get_fewer_genes_and_scores_do_not_depend_on_how_many_are_taken_at_once(views, monkeypatch):
    whole = predicted(views, "visium_hd")
    monkeypatch.setattr(section_prediction, "VALUES_AT_ONCE", 7 * whole.n_obs)
    monkeypatch.setattr(section_prediction, "MOST_VALUES", 25 * whole.n_obs)
    fewer = predicted(views, "visium_hd", "fewer")
    assert list(fewer.var_names) == list(whole.var_names[:25])
    np.testing.assert_allclose(fewer.X, whole.X[:, :25], atol=1e-5)
    for score in ("held_out_r", "held_out_r_depth_adjusted"):
        np.testing.assert_allclose(fewer.var[score], whole.var[score][:25], atol=1e-9)


def test_fluorescence_is_no_stained_tissue(views, monkeypatch):
    """A Xenium bundle without H&E has a picture of its nuclei, from which nothing may be predicted."""
    folder, _ = views
    monkeypatch.setitem(IMAGES, "xenium", {})
    (folder / "dark").mkdir()
    filtered, embeddings = prepare(folder / "tissue", folder / "dark", "xenium")
    predict_expression(filtered, embeddings, folder / "head", folder / "dark.h5ad")
    nothing = ad.read_h5ad(folder / "dark.h5ad")
    assert nothing.n_vars == 0 and "no H&E tiles" in nothing.uns["tissuemake"]["note"]
