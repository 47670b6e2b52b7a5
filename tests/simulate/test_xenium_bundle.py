"""The Xenium bundle: public readers open it, transcripts, cells and pictures agree."""

import numpy as np
import pandas as pd
import scanpy as sc
import tifffile


def test_xenium_opens_in_spatialdata_io(tissue):
    from spatialdata_io import xenium

    opened = xenium(tissue / "xenium")
    assert {"morphology_focus", "he_image"} == set(opened.images)
    assert {"cell_labels", "nucleus_labels"} == set(opened.labels)
    table = opened.tables["table"]
    assert 200 <= table.n_vars <= 300 and table.obs["cell_labels"].is_unique
    assert len(opened.shapes["cell_boundaries"]) == table.n_obs


def test_transcripts_sum_to_the_cell_matrix(tissue):
    matrix = sc.read_10x_h5(tissue / "xenium/cell_feature_matrix.h5", gex_only=False)
    table = pd.read_parquet(tissue / "xenium/transcripts.parquet")
    good = table[(table["qv"] >= 20) & (table["cell_id"] != "UNASSIGNED")]
    sums = pd.crosstab(good["cell_id"], good["feature_name"])
    sums = sums.reindex(index=matrix.obs_names, columns=matrix.var_names, fill_value=0)
    np.testing.assert_array_equal(sums.to_numpy(), matrix.X.toarray())
    assert {
        "Gene Expression",
        "Negative Control Probe",
        "Negative Control Codeword",
        "Unassigned Codeword",
    } == set(matrix.var["feature_types"])
    control = matrix.var["feature_types"] != "Gene Expression"
    assert 0 < matrix[:, control].X.sum() < 0.03 * matrix.X.sum()


def test_transcripts_lie_in_the_cells_they_are_assigned_to(tissue):
    from shapely import Polygon, contains_xy

    table = pd.read_parquet(tissue / "xenium/transcripts.parquet")
    rings = pd.read_parquet(tissue / "xenium/cell_boundaries.parquet").groupby("cell_id", sort=False)
    for name, ring in list(rings)[:40]:
        outline = Polygon(ring[["vertex_x", "vertex_y"]])
        own = (table["cell_id"] == name).to_numpy()
        # On disk coordinates are single precision.
        assert contains_xy(outline.buffer(0.01), table["x_location"], table["y_location"])[own].all()
        assert not contains_xy(outline.buffer(-0.01), table["x_location"], table["y_location"])[~own].any()


def test_alignment_puts_cells_on_nuclei_of_the_he(tissue):
    picture = tifffile.imread(tissue / "xenium/he_image.ome.tif").astype(float)
    matrix = np.loadtxt(tissue / "xenium/he_imagealignment.csv", delimiter=",")
    assert abs(matrix[0, 1]) > 0.05, "the H&E is turned"
    cells = pd.read_parquet(tissue / "xenium/cells.parquet")
    homogeneous = np.column_stack([cells[["x_centroid", "y_centroid"]] / 0.2125, np.ones(len(cells))])

    def red(shift):
        cols, rows, _ = np.linalg.inv(matrix) @ homogeneous.T
        rows, cols = np.rint(rows - 0.5).astype(int) + shift, np.rint(cols - 0.5).astype(int) + shift
        fits = (rows >= 0) & (cols >= 0) & (rows < picture.shape[0]) & (cols < picture.shape[1])
        assert fits.mean() > 0.95
        return picture[rows[fits], cols[fits], 0].mean()

    assert red(0) < red(16) - 50, "nuclei are dark in red, 8 µm beside them is not"


def test_morphology_shows_the_nuclei(tissue):
    dapi = tifffile.imread(tissue / "xenium/morphology_focus/ch0000_dapi.ome.tif")
    cells = pd.read_parquet(tissue / "xenium/cells.parquet")
    at = (cells[["y_centroid", "x_centroid"]].to_numpy() / 0.2125).astype(int)
    assert np.median(dapi[at[:, 0], at[:, 1]]) > 5 * np.median(dapi)
