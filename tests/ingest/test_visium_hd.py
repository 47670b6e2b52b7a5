"""Visium HD: every bin size, and the segmented cells of Space Ranger 4."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest

from tissuemake.contracts import INGESTED, check_anndata
from tissuemake.errors import InputError
from tissuemake.ingest import open_reader, visium_hd
from tissuemake.sheets import Sample

MPP = 0.25


def row(path, bin_um) -> Sample:
    return Sample("hd", "visium_hd", str(path), bin_um=bin_um)


@pytest.fixture
def sample(visium, tmp_path):
    """A folder with bins of 8 and 16 µm and segmented cells."""
    outs = tmp_path / "hd" / "outs"
    for size in (8, 16):
        rows, cols = (index.ravel() for index in np.indices((8, 6)))
        visium.positions = pd.DataFrame(
            {
                "barcode": [f"s_{size:03d}um_{r:05d}_{c:05d}-1" for r, c in zip(rows, cols, strict=True)],
                "in_tissue": 1,
                "array_row": rows,
                "array_col": cols,
                "pxl_row_in_fullres": 900.0 - rows * size / MPP,
                "pxl_col_in_fullres": 100.0 + cols * size / MPP,
            }
        )
        visium.scalefactors |= {"microns_per_pixel": MPP, "bin_size_um": float(size)}
        visium.root, visium.style = outs / "binned_outputs" / f"square_{size:03d}um", "parquet"
        visium.write()
    _write_cells(visium, outs / "segmented_outputs")
    return tmp_path / "hd"


def _write_cells(visium, folder):
    ids = np.arange(1, 31)
    visium.positions = pd.DataFrame({"barcode": [f"cellid_{i:09d}-1" for i in ids], "in_tissue": 1})
    visium.root, visium.style = folder, "none"
    visium.scalefactors.pop("bin_size_um")
    visium.write()
    (folder / "filtered_feature_bc_matrix.h5").rename(folder / "filtered_feature_cell_matrix.h5")
    features = []
    for i in ids[::-1]:
        x, y = 100.0 + 50 * i, 900.0 - 20 * i
        ring = [[x, y], [x + 40, y], [x + 40, y + 20], [x, y + 20], [x, y]]
        shape = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": {"cell_id": int(i)}, "geometry": shape})
    text = json.dumps({"type": "FeatureCollection", "features": features})
    (folder / "cell_segmentations.geojson").write_text(text)


@pytest.mark.parametrize("size", ["8", "16"])
@pytest.mark.parametrize("below", ["", "outs", "outs/binned_outputs"])
def test_bins_from_any_level(sample, size, below):
    adata = open_reader(row(sample / below, size)).read()
    check_anndata(adata, INGESTED, "test")
    assert adata.uns["tissuemake"]["observation"] == "bin"
    assert adata.uns["tissuemake"]["pitch_um"] == float(size)
    expected = 100 + adata.obs["array_col"] * int(size) / MPP
    assert (adata.obsm["spatial"][:, 0] == expected).all()
    assert adata.obs_names.str.startswith(f"s_{int(size):03d}um").all()
    assert adata.uns["spatial"]["hd"]["scalefactors"]["microns_per_pixel"] == MPP


def test_cells_stand_at_the_centre_of_their_polygons(sample):
    adata = open_reader(row(sample, "segmented")).read()
    check_anndata(adata, INGESTED, "test")
    number = adata.obs_names.str[7:16].astype(int)
    assert adata.obsm["spatial"] == pytest.approx(np.column_stack([120 + 50 * number, 910 - 20 * number]))
    assert adata.uns["tissuemake"]["observation"] == "cell"
    diameter = adata.uns["tissuemake"]["spot_diameter_um"]
    assert diameter == pytest.approx(np.sqrt(4 / np.pi * 800) * MPP)


def test_a_bin_that_is_not_there_names_those_that_are(sample):
    with pytest.raises(InputError, match="present: 8, 16, segmented") as caught:
        open_reader(row(sample, "2"))
    assert caught.value.code == "missing_bin"


def test_positions_of_another_bin_size_are_refused(sample):
    bins = sample / "outs" / "binned_outputs"
    other = bins / "square_016um" / "spatial" / "tissue_positions.parquet"
    other.rename(bins / "square_008um" / "spatial" / "tissue_positions.parquet")
    with pytest.raises(InputError, match="8 µm bins") as caught:
        open_reader(row(sample, "8")).read()
    assert caught.value.code == "bad_positions"


def test_broken_polygons_are_named(sample):
    path = sample / "outs" / "segmented_outputs" / "cell_segmentations.geojson"
    path.write_text(path.read_text()[:200])
    with pytest.raises(InputError, match=r"cell_segmentations\.geojson") as caught:
        open_reader(row(sample, "segmented")).read()
    assert caught.value.code == "bad_positions"


@pytest.mark.parametrize("bin_um", ["8", "segmented"])
def test_slide_is_the_serial_that_the_feature_slice_states(sample, bin_um):
    assert open_reader(row(sample, bin_um)).slide == ""
    with h5py.File(sample / "outs" / "feature_slice.h5", "w") as handle:
        layout = json.dumps({"slide_uid": "H1-VM2JXXK"})
        handle.attrs["metadata_json"] = json.dumps({"hd_layout_json": layout})
    assert open_reader(row(sample, bin_um)).slide == "H1-VM2JXXK"


def test_places_are_read_from_barcodes_of_one_form_only():
    names = [f"s_002um_{row:05d}_{col:05d}-1" for row in (0, 7, 3349) for col in (0, 12345)]
    said = visium_hd.stated_places(pd.Index(names))
    assert said.tolist() == [[2, row, col] for row in (0, 7, 3349) for col in (0, 12345)]
    for odd in ("s_002um_0000x_00000-1", "s_002um_00000_00000-2", "s_002um_00000_000000-1", "bin 12", "é"):
        assert visium_hd.stated_places(pd.Index([*names, odd])) is None
        assert visium_hd.stated_places(pd.Index([odd, *names])) is None
    assert visium_hd.stated_places(pd.Index([])) is None
