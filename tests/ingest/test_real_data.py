"""Real vendor folders: sums equal the source, and other people's readers agree where they can read them."""

import gzip
import json

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import uniform_filter

from tissuemake.contracts import INGESTED, check_anndata
from tissuemake.ingest import open_reader
from tissuemake.ingest.lattice import fit_lattice
from tissuemake.sheets import Sample

pytestmark = pytest.mark.real


def h5_sums(path) -> pd.Series:
    """Counts of gene-expression features per barcode, straight from the h5."""
    with h5py.File(path) as handle:
        group = handle["matrix"]
        genes = group["features/feature_type"][:].astype(str) == "Gene Expression"
        values = np.where(genes[group["indices"][:]], group["data"][:], 0)
        sums = np.add.reduceat(np.append(values, 0), np.minimum(group["indptr"][:-1], len(values)))
        sums[np.diff(group["indptr"][:]) == 0] = 0
        return pd.Series(sums, index=group["barcodes"][:].astype(str))


VISIUM = {
    # folder: spots, counts, µm per pixel
    "breast_cancer_338spots": (338, 4_851_955, 0.367),
    "seurat_mouse_brain_100genes": (2695, 132_231, 0.725),
    "scanpy_human_100x100": (100, 932, 0.725),
    "spe_two_sections/section1": (50, 682, 0.725),
    "spe_two_sections/section2": (49, 673, 0.725),
    "sfe_two_samples/sample01": (12, 2951, 0.343),
    "sfe_two_samples/sample02": (13, 2762, 0.343),
}


@pytest.mark.parametrize("name", VISIUM)
def test_visium(data_dir, name):
    spots, total, mpp = VISIUM[name]
    reader = open_reader(Sample("s", "visium", str(data_dir / "visium" / name)))
    adata = reader.read()
    check_anndata(adata, INGESTED, name)
    assert (adata.n_obs, int(adata.X.sum())) == (spots, total)
    spatial = adata.uns["spatial"]["s"]
    assert spatial["scalefactors"]["microns_per_pixel"] == pytest.approx(mpp, abs=0.001)
    assert fit_lattice(reader.positions(), "hexagonal").residual < 0.1
    assert spatial["images"]["hires"].std() > 0
    height, width = spatial["images"]["hires"].shape[:2]
    hires = adata.obsm["spatial"] * spatial["scalefactors"]["tissue_hires_scalef"]
    if not name.startswith("sfe"):  # whose pictures are crops
        assert ((hires >= 0) & (hires <= (width, height))).all()


def test_visium_agrees_with_scanpy_and_spatialdata_io(data_dir):
    import scanpy as sc
    import spatialdata_io

    folder = data_dir / "visium/breast_cancer_338spots"
    ours = open_reader(Sample("s", "visium", str(folder))).read()
    theirs = sc.read_visium(folder)[ours.obs_names]
    assert (ours.obsm["spatial"] == theirs.obsm["spatial"].astype(float)).all()
    assert np.abs(ours.X.sum(1) - theirs.X.sum(1)).max() == 0
    kept = ours.var["gene_id"].isin(theirs.var["gene_ids"])
    columns = pd.Index(theirs.var["gene_ids"]).get_indexer(ours.var["gene_id"][kept])
    assert (ours.X[:, kept.to_numpy()] != theirs.X[:, columns]).nnz == 0
    store = spatialdata_io.visium(folder, dataset_id="s", counts_file="filtered_feature_bc_matrix.h5")
    table = store["table"][ours.obs_names]
    assert (ours.X.sum(1) == table.X.sum(1)).all()
    circles = store["s"].geometry.loc[table.obs["spot_id"]]
    assert np.column_stack([circles.x, circles.y]) == pytest.approx(ours.obsm["spatial"])


@pytest.mark.parametrize(
    ("region", "size", "bins"),
    [("a", "16", 675), ("b_top", "2", 19148), ("b_top", "8", 1217), ("b_top", "16", 321)],
)
def test_visium_hd(data_dir, region, size, bins):
    folder = data_dir / f"visium_hd/crc_p2_region_{region}"
    reader = open_reader(Sample("s", "visium_hd", str(folder), bin_um=size))
    adata = reader.read()
    check_anndata(adata, INGESTED, region)
    assert adata.n_obs == bins
    source = h5_sums(folder / f"binned_outputs/square_{int(size):03d}um/filtered_feature_bc_matrix.h5")
    assert (np.ravel(adata.X.sum(1)) == source[adata.obs_names]).all()
    pitch = fit_lattice(reader.positions(), "square").pitch_px
    assert float(size) / pitch == pytest.approx(reader.microns_per_pixel(), rel=0.002)


def test_visium_hd_bins_agree_with_each_other(data_dir):
    folder = str(data_dir / "visium_hd/crc_p2_region_b_top")
    fine, coarse = (open_reader(Sample("s", "visium_hd", folder, bin_um=size)).read() for size in ("2", "16"))
    inside = pd.MultiIndex.from_arrays([fine.obs["array_row"] // 8, fine.obs["array_col"] // 8])
    sums = pd.Series(np.ravel(fine.X.sum(1))).groupby(inside).sum()
    keys = pd.MultiIndex.from_arrays([coarse.obs["array_row"], coarse.obs["array_col"]])
    assert (sums[keys].to_numpy() == np.ravel(coarse.X.sum(1))).all()
    centres = pd.DataFrame(fine.obsm["spatial"]).groupby(inside).mean().loc[keys].to_numpy()
    assert np.median(np.abs(centres - coarse.obsm["spatial"])) < 8  # a 16 µm bin is 58 px; some are not full


def test_xenium_bundle(data_dir):
    folder = data_dir / "xenium/human_526cells_bundle"
    reader = open_reader(Sample("s", "xenium", str(folder), tissue="unknown"))
    adata = reader.read()
    check_anndata(adata, INGESTED, "bundle")
    assert adata.shape == (526, 27)
    assert (np.ravel(adata.X.sum(1)) == h5_sums(folder / "cell_feature_matrix.h5")[adata.obs_names]).all()
    cells = pd.read_parquet(folder / "cells.parquet").set_index("cell_id").loc[adata.obs_names]
    assert adata.obsm["spatial"] * 0.2125 == pytest.approx(cells[["x_centroid", "y_centroid"]].to_numpy())
    counted = np.ravel(adata.X.sum(1)) + sum(
        adata.obsm[key].to_numpy().sum(1) for key in adata.obsm if key != "spatial"
    )
    assert (counted == cells["total_counts"]).mean() > 0.97  # the crop cut a few cells' features
    assert adata.uns["spatial"]["s"]["images"] == {}
    assert [note["code"] for note in reader.notes] == ["morphology_does_not_cover_cells"]


def test_xenium_parquet_and_csv_and_outlines_say_the_same(data_dir, tmp_path):
    source = data_dir / "xenium/human_526cells_bundle"
    places = []
    for name in ("cells.parquet", "cells.csv.gz", "cell_boundaries.parquet", "cell_boundaries.csv.gz"):
        folder = tmp_path / name
        folder.mkdir()
        for part in ("cell_feature_matrix.h5", name):
            (folder / part).symlink_to(source / part)
        places.append(open_reader(Sample("s", "xenium", str(folder))).read().obsm["spatial"])
    assert places[0] == pytest.approx(places[1])
    assert places[2] == pytest.approx(places[3], abs=0.01)
    assert np.abs(places[0] - places[2]).max() * 0.2125 < 1.0  # µm


def test_xenium_transcripts_count_up_to_the_matrix(data_dir, tmp_path):
    source = data_dir / "xenium/human_526cells_bundle"
    for part in ("cells.parquet", "transcripts.parquet"):
        (tmp_path / part).symlink_to(source / part)
    counted = open_reader(Sample("s", "xenium", str(tmp_path))).read()
    table = pd.read_parquet(source / "transcripts.parquet")
    good = table[(table["qv"] >= 20) & (table["cell_id"] != "UNASSIGNED")]
    assert counted.X.sum() + sum(
        counted.obsm[key].to_numpy().sum() for key in counted.obsm if key != "spatial"
    ) == len(good[good["cell_id"].isin(counted.obs_names)])


def test_xenium_mouse_half(data_dir):
    folder = data_dir / "xenium/mouse_brain_coronal_left_half"
    adata = open_reader(Sample("s", "xenium", str(folder))).read()
    assert adata.shape == (18301, 248)
    assert adata.uns["tissuemake"]["organism"] == "mouse"
    assert (np.ravel(adata.X.sum(1)) == h5_sums(folder / "cell_feature_matrix.h5")[adata.obs_names]).all()
    cells = pd.read_csv(folder / "cells.csv.gz").assign(cell_id=lambda table: table["cell_id"].astype(str))
    cells = cells.set_index("cell_id").loc[adata.obs_names]
    assert (np.ravel(adata.X.sum(1)) == cells["transcript_counts"]).all()
    assert adata.obsm["features_blank_codeword"].shape[1] == 225


def test_xenium_from_transcripts_of_r(data_dir):
    folder = data_dir / "xenium/mouse_brain_multisection_tiny_sample1"
    adata = open_reader(Sample("s", "xenium", str(folder))).read()
    table = pd.read_csv(folder / "transcripts.csv")
    pixel = json.loads((folder / "experiment.xenium").read_text())["pixel_size"]
    good = table[(table["qv"] >= 20) & (table["cell_id"] > 0)]
    genes = good[~good["feature_name"].str.match("NegControl|BLANK|antisense")]
    assert adata.X.sum() == len(genes)
    means = good.groupby("cell_id")[["x_location", "y_location"]].mean()
    gap = adata.obsm["spatial"] * pixel - means.loc[adata.obs_names.astype(int)].to_numpy()
    assert np.abs(gap).max() < 6  # µm between the outline's centre and its transcripts' mean
    assert adata.uns["tissuemake"]["software"] == "Xenium Onboard Analysis 1.0.2"


HER2 = ("A1", "C2", "D3")  # one per patient; all eleven have the same form


@pytest.mark.parametrize("section", HER2)
def test_her2st(data_dir, section):
    folder = data_dir / "st_her2"
    counts, spots = folder / f"counts/{section}.tsv.gz", folder / f"spots/{section}_selection.tsv"
    reader = open_reader(Sample(section, "st", str(counts), spots=str(spots)))
    adata = reader.read()
    with gzip.open(counts, "rt") as handle:
        genes = handle.readline().rstrip("\n").split("\t")[1:]
        sums = {line.split("\t", 1)[0]: sum(map(int, line.split("\t")[1:])) for line in handle}
    assert adata.n_obs == len(sums)
    assert adata.n_vars == len(set(genes))
    assert (np.ravel(adata.X.sum(1)) == [sums[name] for name in adata.obs_names]).all()
    table = pd.read_csv(spots, sep="\t")
    places = {f"{r.x}x{r.y}": (r.pixel_x, r.pixel_y) for r in table.itertuples()}
    assert (adata.obsm["spatial"] == [places[name] for name in adata.obs_names]).all()
    fit = fit_lattice(reader.positions(), "square")
    assert fit.residual < 0.15
    if section[0] == "C":
        assert 200 / fit.pitch_px == pytest.approx(0.688, abs=0.003)


def test_spots_lie_on_the_tissue(data_dir):
    """Under spots in tissue the photograph is darker than under the others."""
    folder = data_dir / "st_mob_2k"
    for name in ("MOB1", "MOB2"):
        row = Sample(
            "m", "st", str(folder / f"{name}.tsv"),
            spots=str(folder / f"alignment_table_{name}.tsv"), image=str(folder / f"{name}.jpg"),
        )  # fmt: skip
        adata = open_reader(row).read()
        spatial = adata.uns["spatial"]["m"]
        xy = np.rint(adata.obsm["spatial"] * spatial["scalefactors"]["tissue_hires_scalef"]).astype(int)
        grey = uniform_filter(spatial["images"]["hires"].mean(-1), 15)[xy[:, 1], xy[:, 0]]
        inside = adata.obs["in_tissue"].to_numpy()
        assert inside.sum() in (379, 407)
        assert (grey[inside] < np.median(grey[~inside]) - 15).mean() > 0.95
        assert adata.uns["tissuemake"]["pitch_um"] == 150


def test_her2st_full_resolution_photograph(data_dir):
    folder = data_dir / "st_her2"
    row = Sample(
        "C2", "st", str(folder / "counts/C2.tsv.gz"),
        spots=str(folder / "spots/C2_selection.tsv"), image=str(folder / "images/C2_5714_HE_BT_C2.jpg"),
    )  # fmt: skip
    reader = open_reader(row)
    assert reader.image_size() == (9274, 9911)
    adata = reader.read()
    spatial = adata.uns["spatial"]["C2"]
    hires, scale = spatial["images"]["hires"], spatial["scalefactors"]["tissue_hires_scalef"]
    assert hires.shape == (2000, 1872, 3)
    xy = np.rint(adata.obsm["spatial"] * scale).astype(int)
    glass = np.median(hires.mean(-1))
    assert (hires.mean(-1)[xy[:, 1], xy[:, 0]] < glass - 10).mean() > 0.95


def test_mouse_liver_and_starmap_as_tables(data_dir):
    folder = data_dir / "st_mouse_liver"
    spots = str(folder / "CN65_D1_spot-selection.tsv.gz")
    liver = open_reader(
        Sample("l", "st", str(folder / "CN65_D1_counts_genenames.tsv.gz"), spots=spots)
    ).read()
    assert liver.shape == (663, 14402)
    folder = data_dir / "deconv_truth/starmap_section1/spots"
    row = Sample(
        "q", "st", str(folder / "combined_spatial_count.txt"),
        spots=str(folder / "combined_Locations.txt"), mpp=75.0,
    )  # fmt: skip
    starmap = open_reader(row).read()
    truth = pd.read_csv(folder / "combined_cell_counts.txt", sep="\t", index_col=0)
    assert list(starmap.obs_names) == list(truth.index.astype(str))
    source = pd.read_csv(folder / "combined_spatial_count.txt", sep="\t")
    assert (starmap.X.toarray() == source[starmap.var_names].to_numpy()).all()


@pytest.mark.parametrize("name", ["151673", "151674"])
def test_dlpfc(data_dir, name):
    path = data_dir / f"visium_dlpfc/dlpfc_{name}.h5ad"
    adata = open_reader(Sample("d", "h5ad", str(path))).read()
    source = ad.read_h5ad(path)
    assert adata.X.sum() == source.X.sum()
    assert list(adata.var["gene_id"]) == list(source.var_names)
    assert (adata.obsm["spatial"][:, 0] == source.obs["pxl_col_in_fullres"]).all()
    assert adata.uns["spatial"]["d"]["scalefactors"]["microns_per_pixel"] == pytest.approx(0.724, abs=0.001)


def test_spots_named_by_coordinates_in_h5ad(data_dir):
    adata = open_reader(Sample("p", "h5ad", str(data_dir / "st_pdac_a/pdac_a_counts.h5ad"))).read()
    assert adata.n_obs == 428
    assert adata.uns["tissuemake"]["pitch_um"] == 200.0
