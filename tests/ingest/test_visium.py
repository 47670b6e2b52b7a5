"""Visium folders of every Space Ranger are read alike, and broken ones say what to mend."""

import gzip

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tissuemake.contracts import INGESTED, check_anndata, read_anndata
from tissuemake.errors import InputError
from tissuemake.ingest import ingest_sample, open_reader
from tissuemake.sheets import Sample


def row(path, **cells) -> Sample:
    return Sample("s1", "visium", str(path), **cells)


def assert_read_right(adata, folder) -> None:
    """Counts equal the source per barcode, and positions were joined by barcode, column to x, row to y."""
    check_anndata(adata, INGESTED, "test")
    counts, places = folder.counts(), folder.positions.set_index("barcode").loc[adata.obs_names]
    assert (adata.X.toarray() == counts.loc[adata.obs_names, adata.var["gene_id"]].to_numpy()).all()
    assert set(adata.obs_names) == set(counts.index)
    assert (adata.obsm["spatial"][:, 0] == places["pxl_col_in_fullres"]).all()
    assert (adata.obsm["spatial"][:, 1] == places["pxl_row_in_fullres"]).all()
    for column in ("in_tissue", "array_row", "array_col"):
        assert (adata.obs[column].astype(int) == places[column]).all()


@pytest.mark.parametrize("style", ["csv", "list", "parquet"])
@pytest.mark.parametrize("matrix", ["h5", "mtx", "mtx.gz"])
def test_every_layout_gives_the_same(visium, style, matrix):
    visium.style, visium.matrix = style, matrix
    adata = open_reader(row(visium.write())).read()
    assert_read_right(adata, visium)
    assert list(adata.var_names) == list(visium.features["name"])
    factors = adata.uns["spatial"]["s1"]["scalefactors"]
    assert factors["microns_per_pixel"] == pytest.approx(100 / 290, rel=1e-3)
    assert adata.uns["spatial"]["s1"]["images"]["hires"].shape == (360, 360, 3)


def test_raw_keeps_spots_off_tissue_flagged(visium):
    visium.raw = True
    adata = open_reader(row(visium.write())).read()
    assert_read_right(adata, visium)
    assert 0 < adata.obs["in_tissue"].sum() < adata.n_obs


def test_filtered_is_preferred_to_raw(visium):
    visium.raw = True
    visium.write()
    visium.raw = False
    adata = open_reader(row(visium.write())).read()
    assert adata.obs["in_tissue"].all()


def test_version_and_chemistry_are_stated(visium):
    visium.cytassist = True
    reader = open_reader(row(visium.write()))
    assert (reader.software, reader.chemistry) == ("Space Ranger 3.1.2", "Visium V4 Slide")
    assert "CytAssist" in reader.layout
    assert "Space Ranger 2 or later" in reader.layout


def test_other_feature_types_stay_out_of_counts(visium):
    extra = pd.DataFrame({"id": ["p1", "p2"], "name": ["CD3", "ALPHA"], "feature_type": "Antibody Capture"})
    visium.features = pd.concat([visium.features, extra], ignore_index=True)
    adata = open_reader(row(visium.write())).read()
    assert_read_right(adata, visium)
    proteins = adata.obsm["features_antibody_capture"]
    assert list(proteins.columns) == ["CD3", "ALPHA"]
    assert (proteins.to_numpy() == visium.counts().loc[adata.obs_names, ["p1", "p2"]].to_numpy()).all()


def test_duplicate_symbols_become_unique_and_duplicate_ids_are_summed(visium):
    visium.features["name"] = visium.features["name"].replace("BETA", "ALPHA")
    visium.features["id"] = visium.features["id"].where(
        visium.features["name"] != "THETA", visium.features["id"][2]
    )
    counts = visium.counts()
    adata = open_reader(row(visium.write(counts))).read()
    assert adata.n_vars == 7
    assert adata.var_names.is_unique
    assert adata.X.sum() == counts.to_numpy().sum()
    assert adata.var_names[1] == f"ALPHA ({visium.features['id'][1]})"


@pytest.mark.parametrize("below", ["", "run7", "run7/outs"])
def test_the_section_is_found_from_any_level(visium, tmp_path, below):
    target = tmp_path / "given" / below
    target.parent.mkdir(parents=True, exist_ok=True)
    visium.write().rename(target) if below else visium.write().rename(tmp_path / "given")
    assert_read_right(open_reader(row(tmp_path / "given")).read(), visium)


def test_several_sections_are_listed(visium, tmp_path):
    for name in ("left", "right"):
        visium.root = tmp_path / "both" / name / "outs"
        visium.write()
    with pytest.raises(InputError, match="left/outs, right/outs") as caught:
        open_reader(row(tmp_path / "both"))
    assert caught.value.code == "several_sections"


def test_downloaded_files_with_a_prefix(visium):
    visium.prefix = "V1_Breast_Cancer_"
    assert_read_right(open_reader(row(visium.write())).read(), visium)


def test_two_prefixed_matrices_ask_for_rows_and_a_file_chooses(visium):
    for prefix in ("A_", "B_"):
        visium.prefix = prefix
        visium.write()
    with pytest.raises(InputError, match=r"A_\*, B_\*"):
        open_reader(row(visium.root))
    chosen = visium.root / "B_filtered_feature_bc_matrix.h5"
    assert open_reader(row(chosen)).matrix == chosen


def test_missing_hires_is_made_from_the_full_image(visium, tmp_path):
    visium.images = ("lowres",)
    full = tmp_path / "full.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (2400, 3600, 3), dtype=np.uint8)).save(full)
    spatial = open_reader(row(visium.write(), image=str(full))).read().uns["spatial"]["s1"]
    assert spatial["images"]["hires"].shape == (1333, 2000, 3)
    assert spatial["scalefactors"]["tissue_hires_scalef"] == pytest.approx(2000 / 3600)
    assert spatial["metadata"]["source_image_path"] == str(full)


def test_missing_hires_without_full_image_is_the_lowres(visium):
    visium.images = ("lowres",)
    spatial = open_reader(row(visium.write())).read().uns["spatial"]["s1"]
    assert spatial["images"]["hires"].shape == (108, 108, 3)
    assert spatial["scalefactors"]["tissue_hires_scalef"] == 0.03


def test_the_sheets_mpp_comes_before_the_files(visium):
    visium.scalefactors["microns_per_pixel"] = 0.4
    visium.write()
    said = [open_reader(row(visium.root, mpp=mpp)).read().uns["spatial"]["s1"] for mpp in (None, 0.5)]
    assert [spatial["scalefactors"]["microns_per_pixel"] for spatial in said] == [0.4, 0.5]


def test_ingested_file_satisfies_the_contract(visium, tmp_path):
    ingest_sample(row(visium.write(), organism="human", donor="D1"), tmp_path / "ingested.h5ad")
    adata = read_anndata(tmp_path / "ingested.h5ad", INGESTED)
    assert adata.uns["tissuemake"]["donor"] == "D1"
    assert adata.uns["spatial"]["s1"]["images"]["hires"].dtype == np.uint8


def _shorten(path, share=0.6):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def _cut_h5(folder):
    _shorten(folder.write() / "filtered_feature_bc_matrix.h5")


def _cut_gzip(folder):
    folder.matrix = "mtx.gz"
    _shorten(folder.write() / "filtered_feature_bc_matrix" / "matrix.mtx.gz")


def _no_positions(folder):
    folder.style = "none"
    folder.write()


def _no_matrix(folder):
    (folder.write() / "filtered_feature_bc_matrix.h5").unlink()


def _five_columns(folder):
    folder.style = "list"
    folder.positions = folder.positions.drop(columns="in_tissue")
    folder.raw = True
    folder.positions["in_tissue"] = 1
    folder.write()
    folder.positions.drop(columns="in_tissue").to_csv(
        folder.root / "spatial" / "tissue_positions_list.csv", header=False, index=False
    )


def _wrong_order(folder):
    counts = folder.counts()
    folder.style = "list"
    order = ["barcode", "array_row", "in_tissue", "array_col", "pxl_col_in_fullres", "pxl_row_in_fullres"]
    folder.positions = folder.positions[order]
    folder.write(counts)


def _renamed_columns(folder):
    counts = folder.counts()
    folder.positions = folder.positions.rename(columns={"pxl_row_in_fullres": "y"})
    folder.write(counts)


def _words(folder):
    counts = folder.counts()
    folder.positions["pxl_row_in_fullres"] = folder.positions["pxl_row_in_fullres"].astype(object)
    folder.positions.loc[5, "pxl_row_in_fullres"] = "far"
    folder.write(counts)


def _twice_positioned(folder):
    folder.positions = pd.concat([folder.positions, folder.positions.head(1)])
    folder.write(folder.counts().drop_duplicates())


def _other_section(folder):
    counts = folder.counts()
    folder.positions["barcode"] = folder.positions["barcode"].str[::-1]
    folder.write(counts)


def _changed(change):
    def spoil(folder):
        counts = folder.counts().astype(float)
        folder.write(change(counts))

    return spoil


def _poison(value):
    def change(counts):
        counts.iloc[0, 0] = value
        return counts

    return _changed(change)


def _bad_scalefactors(folder):
    (folder.write() / "spatial" / "scalefactors_json.json").write_text("{")


def _bad_png(folder):
    _shorten(folder.write() / "spatial" / "tissue_hires_image.png", 0.3)


BAD = {
    "truncated_h5": (_cut_h5, "unreadable_matrix", "filtered_feature_bc_matrix.h5"),
    "cut_gzip": (_cut_gzip, "unreadable_matrix", "filtered_feature_bc_matrix"),
    "no_positions": (_no_positions, "missing_positions", "spatial"),
    "no_matrix": (_no_matrix, "missing_matrix", "outs"),
    "five_columns": (_five_columns, "bad_positions", "5 columns"),
    "wrong_order": (_wrong_order, "bad_positions", "in_tissue is"),
    "renamed": (_renamed_columns, "bad_positions", "pxl_row_in_fullres not among them"),
    "words": (_words, "bad_positions", "pxl_row_in_fullres of barcode"),
    "twice": (_twice_positioned, "duplicate_barcodes", "more than one position"),
    "other_section": (_other_section, "positions_mismatch", "80 of 80 barcodes"),
    "normalised": (_changed(np.log1p), "not_counts", "not whole"),
    "negative": (_poison(-1.0), "negative_counts", "-1"),
    "nan": (_poison(np.nan), "nan_counts", "1 values"),
    "zero": (_changed(lambda counts: counts * 0), "all_zero", "zero"),
    "repeated_barcode": (
        _changed(lambda counts: pd.concat([counts, counts.head(2)])),
        "duplicate_barcodes",
        "2 repeats",
    ),
    "scalefactors": (_bad_scalefactors, "bad_scalefactors", "scalefactors_json.json"),
    "png": (_bad_png, "unreadable_image", "tissue_hires_image.png"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_names_file_value_and_remedy(visium, tmp_path, name):
    spoil, code, part = BAD[name]
    spoil(visium)
    output = tmp_path / "results" / "ingested.h5ad"
    with pytest.raises(InputError) as caught:
        ingest_sample(row(visium.root), output)
    assert caught.value.code == code
    assert part in caught.value.message
    assert caught.value.remedy
    assert not output.parent.exists() or not list(output.parent.iterdir())


def test_gzipped_positions_cut_short(visium):
    visium.write()
    plain = visium.root / "spatial" / "tissue_positions.csv"
    packed = plain.with_name("tissue_positions.csv.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes())[:-40])
    plain.unlink()
    with pytest.raises(InputError) as caught:
        open_reader(row(visium.root)).read()
    assert caught.value.code == "bad_positions"


@pytest.mark.parametrize("column", ["path", "image"])
def test_path_that_does_not_exist(visium, column):
    cells = {"path": str(visium.write()), column: "nowhere/at/all"}
    with pytest.raises(InputError, match=f"{column} 'nowhere/at/all'") as caught:
        open_reader(Sample("s1", "visium", **cells))
    assert caught.value.code == "missing_path"
