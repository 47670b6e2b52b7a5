"""The folders are what the instruments write: public readers open them and their tables agree."""

import gzip
import json
import re

import anndata as ad
import numpy as np
import openslide
import pandas as pd
import pytest
import scanpy as sc
import tifffile
from PIL import Image

from tissuemake.errors import InputError
from tissuemake.files import read_json, sha256
from tissuemake.genes import is_ensembl
from tissuemake.simulate import cell_types
from tissuemake.simulate.vendor_folders import simulate_tissue

BINS = {2: "square_002um", 8: "square_008um", 16: "square_016um"}


def read_tsv(path):
    return pd.read_csv(path, sep="\t", index_col="barcode")


def positions(tissue):
    return pd.read_csv(tissue / "visium/outs/spatial/tissue_positions.csv", index_col="barcode")


# Visium


def test_visium_matrix_reads_the_same_from_h5_and_mtx(tissue):
    outs = tissue / "visium/outs"
    for name in ("filtered", "raw"):
        packed = sc.read_10x_h5(outs / f"{name}_feature_bc_matrix.h5")
        loose = sc.read_10x_mtx(outs / f"{name}_feature_bc_matrix")
        assert (packed.obs_names == loose.obs_names).all() and (packed.var_names == loose.var_names).all()
        assert (packed.X != loose.X).nnz == 0


def test_visium_raw_holds_the_array_and_filtered_the_tissue(tissue):
    outs = tissue / "visium/outs"
    where = positions(tissue)
    raw = sc.read_10x_h5(outs / "raw_feature_bc_matrix.h5")
    filtered = sc.read_10x_h5(outs / "filtered_feature_bc_matrix.h5")
    assert set(raw.obs_names) == set(where.index)
    assert set(filtered.obs_names) == set(where.index[where["in_tissue"] == 1])
    assert 45 <= filtered.n_obs <= 75 and raw.n_obs > filtered.n_obs
    glass = raw[where.loc[raw.obs_names, "in_tissue"].to_numpy() == 0]
    stray, caught = (np.median(np.asarray(part.X.sum(axis=1))) for part in (glass, filtered))
    assert stray < 0.1 * caught


def test_visium_lattice_is_hexagonal_with_100_um_pitch(tissue):
    where = positions(tissue)
    assert ((where["array_row"] + where["array_col"]) % 2 == 0).all()
    assert where.index.str.fullmatch(r"[ACGT]{16}-1").all() and where.index.is_unique
    xy = where[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy() * 0.5
    away = np.linalg.norm(xy[:, None] - xy[None], axis=2)
    np.fill_diagonal(away, np.inf)
    assert away.min(axis=1) == pytest.approx(100, abs=1.0)
    scales = read_json(tissue / "visium/outs/spatial/scalefactors_json.json")
    assert scales["spot_diameter_fullres"] * 0.5 == pytest.approx(55)


def test_visium_previews_have_their_scale_factors(tissue):
    folder = tissue / "visium/outs/spatial"
    scales = read_json(folder / "scalefactors_json.json")
    with openslide.OpenSlide(tissue / "visium/tissue_image.tif") as slide:
        width = slide.dimensions[0]
    for name, longest in (("hires", 2000), ("lowres", 600)):
        with Image.open(folder / f"tissue_{name}_image.png") as image:
            assert max(image.size) <= longest
            assert image.width == pytest.approx(scales[f"tissue_{name}_scalef"] * width, abs=1)


@pytest.mark.parametrize("folder", ["visium", "visium_hd"])
def test_slides_open_with_their_pixel_size_and_levels(tissue, folder):
    with openslide.OpenSlide(tissue / folder / "tissue_image.tif") as slide:
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5)
        assert slide.level_count >= 3
        assert slide.level_downsamples[1] == pytest.approx(2, abs=0.01)
        corner = np.asarray(slide.read_region((0, 0), 0, (32, 32)).convert("RGB"))
    assert corner.min() > 225, "the corner of the glass is white"


def test_visium_opens_in_spatialdata_io_and_squidpy(tissue):
    import squidpy as sq
    from spatialdata_io import visium

    opened = visium(
        tissue / "visium/outs", dataset_id="s", fullres_image_file=tissue / "visium/tissue_image.tif"
    )
    assert {"s_hires_image", "s_lowres_image", "s_full_image"} == set(opened.images)
    plain = sq.read.visium(tissue / "visium/outs", load_images=True)
    np.testing.assert_array_equal(
        plain.obsm["spatial"], positions(tissue).loc[plain.obs_names].iloc[:, [4, 3]].to_numpy()
    )
    assert plain.n_obs == opened.tables["table"].n_obs


# Visium HD


def read_bins(tissue, size, name="filtered"):
    folder = tissue / "visium_hd/outs/binned_outputs" / BINS[size]
    adata = sc.read_10x_h5(folder / f"{name}_feature_bc_matrix.h5")
    adata.obs = (
        pd.read_parquet(folder / "spatial/tissue_positions.parquet").set_index("barcode").loc[adata.obs_names]
    )
    return adata


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


# Xenium


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


# Spatial Transcriptomics


def test_st_table_spots_and_picture_agree(tissue):
    counts = pd.read_csv(tissue / "st/counts.tsv.gz", sep="\t", index_col=0)
    spots = pd.read_csv(tissue / "st/spots.tsv", sep="\t")
    spots.index = spots["x"].astype(str) + "x" + spots["y"].astype(str)
    assert list(counts.index) == list(spots.index[spots["selected"] == 1])
    assert list(counts.index) == list(read_tsv(tissue / "truth/st_composition.tsv").index)
    with Image.open(tissue / "st/tissue_image.jpg") as image:
        picture = np.asarray(image).astype(float)
    at = spots[["pixel_y", "pixel_x"]].round().astype(int).to_numpy()
    green = np.array([picture[row - 30 : row + 30, col - 30 : col + 30, 1].mean() for row, col in at])
    under = (spots["selected"] == 1).to_numpy()
    assert green[under].mean() < green[~under].mean() - 20
    # 200 µm between neighbours, at 1 µm per pixel of the JPEG.
    assert np.polyfit(spots["x"], spots["pixel_x"], 1)[0] == pytest.approx(200, rel=0.02)


# Atlas, genes, truth


def test_atlas_has_other_donors_and_raw_counts(tissue):
    atlas = ad.read_h5ad(tissue / "atlas.h5ad")
    assert atlas.obs["donor_id"].nunique() >= 3
    assert set(atlas.obs["cell_type"]) == set(cell_types.NAMES)
    assert (atlas.X.data == np.rint(atlas.X.data)).all() and atlas.X.data.min() >= 0
    assert (atlas.obs["cell_type_major"] == atlas.obs["cell_type"].map(cell_types.MAJOR)).all()
    assert is_ensembl(atlas.var_names).all()
    # Counts are drawn anew: no cell of the section is in the atlas.
    truth = ad.read_h5ad(tissue / "truth/cells.h5ad")
    assert not set(atlas.obs_names) & set(truth.obs_names)


def test_genes_have_one_id_everywhere(tissue):
    atlas = ad.read_h5ad(tissue / "atlas.h5ad").var["feature_name"]
    known = dict(zip(atlas.astype(str), atlas.index, strict=True))
    assert sum(name.startswith("MT-") for name in known) == 13
    for path in ("visium/outs/filtered_feature_bc_matrix.h5", "xenium/cell_feature_matrix.h5"):
        genes = sc.read_10x_h5(tissue / path).var["gene_ids"]
        assert all(known[name] == gene for name, gene in genes.items())


def test_composition_counts_the_cells_under_each_spot(tissue):
    truth = ad.read_h5ad(tissue / "truth/cells.h5ad")
    composition = read_tsv(tissue / "truth/visium_composition.tsv")
    where = positions(tissue).loc[composition.index]
    for barcode in composition.index[::7]:
        centre = where.loc[barcode, ["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(float) * 0.5
        under = np.linalg.norm(truth.obsm["spatial"] - centre, axis=1) <= 27.5
        counted = truth.obs["cell_type"][under].value_counts().reindex(composition.columns, fill_value=0)
        # Positions on disk are whole pixels: a cell on the rim may fall on either side.
        assert np.abs(composition.loc[barcode] - counted).sum() <= 2


def test_hd_composition_sums_to_cells(tissue):
    composition = read_tsv(tissue / "truth/visium_hd_8um_composition.tsv")
    cells = sc.read_10x_h5(tissue / "visium_hd/outs/segmented_outputs/filtered_feature_cell_matrix.h5").n_obs
    assert composition.to_numpy().sum() == pytest.approx(cells, rel=0.01)
    assert list(composition.index) == list(read_bins(tissue, 8).obs_names)


def test_truth_of_xenium_is_one_hot(tissue):
    composition = read_tsv(tissue / "truth/xenium_composition.tsv")
    labels = read_tsv(tissue / "truth/xenium_cell_types.tsv")["label"]
    assert (composition.sum(axis=1) == 1).all()
    assert (composition.idxmax(axis=1) == labels).all()
    assert list(labels.index) == list(pd.read_parquet(tissue / "xenium/cells.parquet")["cell_id"])


def test_zones_are_named_for_all_observations(tissue):
    zones = {
        name: read_tsv(tissue / f"truth/{name}_zones.tsv")["label"]
        for name in ("visium", "visium_hd_8um", "xenium")
    }
    assert set(zones["visium"].index) == set(read_tsv(tissue / "truth/visium_composition.tsv").index)
    for labels in zones.values():
        assert labels.nunique() >= 4 and "outside" not in set(zones["visium"])


# The receipt


def test_receipt_lists_every_file_with_its_hash(tissue):
    receipt = read_json(tissue / "truth.json")
    files = {path.relative_to(tissue).as_posix() for path in tissue.rglob("*") if path.is_file()}
    assert set(receipt["files"]) == files - {"truth.json"}
    for name in ("xenium/cells.parquet", "atlas.h5ad"):
        assert receipt["files"][name] == sha256(tissue / name)


def test_equal_seeds_give_equal_files_and_others_do_not(tmp_path):
    small = {"spots": 16, "n_genes": 400, "atlas_cells": 60, "mpp": 1.0}
    receipts = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        simulate_tissue(tmp_path / name, seed=seed, **small)
        receipts.append(read_json(tmp_path / name / "truth.json"))
    assert receipts[0] == receipts[1]
    same = [name for name, value in receipts[0]["files"].items() if receipts[2]["files"].get(name) == value]
    assert not [name for name in same if "matrix.h5" in name or name.endswith((".tif", "composition.tsv"))]


def test_leftovers_of_an_earlier_run_go(tmp_path):
    stale = tmp_path / "visium/outs/stale.txt"
    stale.parent.mkdir(parents=True)
    stale.write_text("old")
    keep = tmp_path / "notes.txt"
    keep.write_text("mine")
    simulate_tissue(tmp_path, spots=16, n_genes=400, atlas_cells=60, mpp=1.0)
    assert not stale.exists() and keep.exists()


def test_nothing_is_receipted_when_writing_fails(tmp_path, monkeypatch):
    from tissuemake.simulate import vendor_folders

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    (tmp_path / "truth.json").write_text("{}")
    monkeypatch.setattr(vendor_folders, "write_xenium", full)
    with pytest.raises(InputError, match="No space left") as caught:
        simulate_tissue(tmp_path, spots=16, n_genes=400, atlas_cells=60, mpp=1.0)
    assert caught.value.code == "disk_full"
    assert not (tmp_path / "truth.json").exists()


@pytest.mark.parametrize(
    ("wrong", "code"),
    [({"zones": "striped"}, "unknown_zones"), ({"n_genes": 20}, "bad_n_genes"), ({"spots": 3}, "bad_spots")],
)
def test_wrong_parameters_say_what_is_right(tmp_path, wrong, code):
    with pytest.raises(InputError) as caught:
        simulate_tissue(tmp_path, **({"spots": 25} | wrong))
    assert caught.value.code == code
    assert str(next(iter(wrong.values()))) in caught.value.message


def test_gzip_holds_no_time_of_day(tissue):
    for path in tissue.rglob("*.gz"):
        assert path.read_bytes()[4:8] == b"\0\0\0\0"
        with gzip.open(path) as handle:
            assert handle.read(1)
    assert json.loads((tissue / "xenium/gene_panel.json").read_text())["payload"]["targets"]
