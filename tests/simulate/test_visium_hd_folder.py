"""Space Ranger's Visium HD folder: public readers open it, bins and cells are sums of the smallest bins."""

import re

import numpy as np
import pandas as pd
import pytest
import scanpy as sc

from simulate.tables import BINS, read_bins
from tissuemake.files import read_json


@pytest.mark.parametrize("name", ["filtered", "raw"])
@pytest.mark.parametrize("size", [8, 16])
def test_coarse_bins_are_sums_of_2_um_bins(tissue, name, size):
    fine, coarse = read_bins(tissue, 2, name), read_bins(tissue, size, name)
    step = size // 2
    parent = [
        f"s_{size:03d}um_{row // step:05d}_{col // step:05d}-1"
        for row, col in zip(fine.obs["array_row"], fine.obs["array_col"], strict=True)
    ]
    column = coarse.obs_names.get_indexer(parent)
    assert (column >= 0).all()
    sums = np.zeros(coarse.shape)
    counts = fine.X.tocoo()
    np.add.at(sums, (column[counts.row], counts.col), counts.data)
    np.testing.assert_array_equal(sums, coarse.X.toarray())


def test_hd_pixels_follow_the_bins(tissue):
    for size in BINS:
        bins = read_bins(tissue, size, "raw").obs
        scales = read_json(
            tissue / f"visium_hd/outs/binned_outputs/{BINS[size]}/spatial/scalefactors_json.json"
        )
        assert scales["bin_size_um"] == size and scales["microns_per_pixel"] == 0.5
        slope = np.polyfit(bins["array_col"], bins["pxl_col_in_fullres"], 1)[0]
        assert slope * scales["microns_per_pixel"] == pytest.approx(size)
        assert re.fullmatch(rf"s_{size:03d}um_\d{{5}}_\d{{5}}-1", bins.index[0])


def test_hd_opens_in_spatialdata_io(tissue):
    from spatialdata_io import visium_hd

    opened = visium_hd(
        tissue / "visium_hd/outs",
        dataset_id="",
        load_segmentations_only=False,
        load_nucleus_segmentations=True,
        fullres_image_file=tissue / "visium_hd/tissue_image.tif",
    )
    assert {*BINS.values(), "cell_segmentations", "nucleus_segmentations"} == set(opened.tables)
    assert len(opened.shapes["_cell_segmentations"]) == opened.tables["cell_segmentations"].n_obs


def test_hd_cells_are_sums_of_their_bins(tissue):
    outs = tissue / "visium_hd/outs"
    cells = sc.read_10x_h5(outs / "segmented_outputs/filtered_feature_cell_matrix.h5")
    mapping = (
        pd.read_parquet(outs / "barcode_mappings.parquet").dropna(subset="cell_id").set_index("square_002um")
    )
    bins = read_bins(tissue, 2)
    totals = pd.Series(np.asarray(bins.X.sum(axis=1)).ravel(), index=bins.obs_names)
    by_cell = totals.loc[mapping.index].groupby(mapping["cell_id"].to_numpy()).sum()
    np.testing.assert_array_equal(by_cell.loc[cells.obs_names], np.asarray(cells.X.sum(axis=1)).ravel())
