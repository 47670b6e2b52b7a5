"""Folders of the simulated tissue: spatialdata-io reads the same, and cells lie on their nuclei."""

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import uniform_filter

from tissuemake.contracts import INGESTED, check_anndata
from tissuemake.ingest import open_reader
from tissuemake.sheets import Sample
from tissuemake.simulate.vendor_folders import simulate_tissue


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    """A small simulated tissue as vendor folders."""
    folder = tmp_path_factory.mktemp("tissue")
    simulate_tissue(folder, seed=1, spots=60)
    return folder


def read(assay: str, path, **cells):
    adata = open_reader(Sample("s", assay, str(path), **cells)).read()
    check_anndata(adata, INGESTED, assay)
    return adata


@pytest.mark.parametrize(("size", "table"), [("8", "square_008um"), ("segmented", "cell_segmentations")])
def test_visium_hd_agrees_with_spatialdata_io(tissue, size, table):
    import spatialdata_io

    store = spatialdata_io.visium_hd(
        tissue / "visium_hd/outs",
        bin_size=8,
        load_all_images=False,
        load_segmentations_only=size == "segmented",
    )
    ours, theirs = read("visium_hd", tissue / "visium_hd", bin_um=size), store[table]
    assert set(ours.obs_names) == set(theirs.obs_names)
    theirs = theirs[ours.obs_names]
    assert (ours.X != theirs.X).nnz == 0
    attributes = theirs.uns["spatialdata_attrs"]
    centres = (
        store[theirs.obs["region"].iloc[0]].geometry.loc[theirs.obs[attributes["instance_key"]]].centroid
    )
    assert np.column_stack([centres.x, centres.y]) == pytest.approx(ours.obsm["spatial"], abs=1e-3)


def test_xenium_agrees_with_spatialdata_io(tissue):
    import spatialdata_io

    parts = (
        "cells_boundaries", "nucleus_boundaries", "cells_as_circles", "cells_labels", "nucleus_labels",
        "transcripts", "morphology_mip", "morphology_focus", "aligned_images",
    )  # fmt: skip
    theirs = spatialdata_io.xenium(tissue / "xenium", **dict.fromkeys(parts, False))["table"]
    theirs.obs_names = theirs.obs["cell_id"].astype(str)
    ours = read("xenium", tissue / "xenium")
    theirs = theirs[ours.obs_names, ours.var_names]
    assert (ours.X != theirs.X).nnz == 0
    assert ours.obsm["spatial"] * 0.2125 == pytest.approx(theirs.obsm["spatial"])


def under(adata, radius: int) -> tuple[np.ndarray, float]:
    """Mean brightness of the hires image around every observation, and the image's median."""
    spatial = adata.uns["spatial"]["s"]
    picture = spatial["images"]["hires"].mean(-1)
    xy = np.rint(adata.obsm["spatial"] * spatial["scalefactors"]["tissue_hires_scalef"]).astype(int)
    xy = np.clip(xy, 0, np.array(picture.shape)[::-1] - 1)
    return uniform_filter(picture, radius)[xy[:, 1], xy[:, 0]], np.median(picture)


def test_cells_lie_on_their_nuclei(tissue):
    he = {
        "image": str(tissue / "xenium/he_image.ome.tif"),
        "alignment": str(tissue / "xenium/he_imagealignment.csv"),
    }
    dapi, level = under(read("xenium", tissue / "xenium"), 5)
    assert (dapi > level + 40).mean() > 0.8
    aligned = read("xenium", tissue / "xenium", **he)
    right, _ = under(aligned, 5)
    aligned.obsm["spatial"] = aligned.obsm["spatial"] + 12  # 6 µm aside
    aside, _ = under(aligned, 5)
    assert right.mean() < aside.mean() - 15


def test_visium_spots_in_tissue_lie_on_tissue(tissue):
    raw = read("visium", tissue / "visium/outs/raw_feature_bc_matrix.h5")
    grey, _ = under(raw, 15)
    inside = raw.obs["in_tissue"].to_numpy()
    assert 0 < inside.sum() < raw.n_obs
    assert np.median(grey[inside]) < np.median(grey[~inside]) - 10


def test_h5_and_mtx_and_truth_say_the_same(tissue):
    outs = tissue / "visium/outs"
    one, two = (read("visium", outs / f"filtered_feature_bc_matrix{kind}") for kind in (".h5", ""))
    assert (one.X != two[one.obs_names].X).nnz == 0
    truth = pd.read_csv(tissue / "truth/visium_composition.tsv", sep="\t", index_col=0)
    assert set(one.obs_names) <= set(truth.index)
