"""h5ad and SpatialData: counts wherever they stand, coordinates wherever they are."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tissuemake.contracts import INGESTED, check_anndata
from tissuemake.errors import InputError
from tissuemake.ingest import ingest_sample, open_reader
from tissuemake.sheets import Sample


@pytest.fixture
def table():
    """48 spots on a hexagonal lattice of 140 px pitch; Ensembl index, symbols beside it, one symbol empty."""
    rows, cols = (index.ravel() for index in np.indices((8, 6)))
    obs = pd.DataFrame(
        {"array_row": rows, "array_col": 2 * cols + rows % 2, "in_tissue": (rows > 0).astype(int)}
    )
    obs.index = [f"BC{i:02d}-1" for i in range(48)]
    var = pd.DataFrame({"symbol": ["A", "B", "", "D", "E"]}, index=[f"ENSG{i:011d}" for i in range(1, 6)])
    counts = np.random.default_rng(0).poisson(2, (48, 5)).astype(np.float32)
    adata = ad.AnnData(sp.csr_matrix(counts), obs=obs, var=var)
    adata.obsm["spatial"] = np.column_stack([70.0 * obs["array_col"], 140 * np.sqrt(0.75) * rows])
    return adata


def reader(adata, tmp_path, **cells):
    adata.write_h5ad(tmp_path / "given.h5ad")
    return open_reader(Sample("h1", "h5ad", str(tmp_path / "given.h5ad"), **cells))


def test_lattice_gives_micrometres_per_pixel(table, tmp_path):
    adata = reader(table, tmp_path).read()
    check_anndata(adata, INGESTED, "test")
    assert adata.uns["spatial"]["h1"]["scalefactors"]["microns_per_pixel"] == pytest.approx(100 / 140)
    assert list(adata.var_names) == ["A", "B", "ENSG00000000003", "D", "E"]
    assert list(adata.var["gene_id"]) == list(table.var_names)
    assert (adata.obs["in_tissue"] == (table.obs["in_tissue"] == 1)).all()
    assert (adata.obsm["spatial"] == table.obsm["spatial"]).all()


@pytest.mark.parametrize("place", ["X", "layer", "raw"])
@pytest.mark.parametrize("dense", [False, True])
def test_counts_are_found_where_the_integers_are(table, tmp_path, place, dense):
    counts = table.X.copy()
    if place == "layer":
        table.layers["counts"] = counts
    if place == "raw":
        table.raw = table.copy()
        table = table[:, :3].copy()
    if place != "X":
        table.X = table.X.copy()
        table.X.data = np.log1p(table.X.data)
    if dense:
        table.X = table.X.toarray()
    adata = reader(table, tmp_path).read()
    assert (adata.X.toarray() == counts.toarray()).all()


def test_normalised_everywhere_is_refused_with_what_was_seen(table, tmp_path):
    table.X.data = np.log1p(table.X.data)
    with pytest.raises(InputError, match=r"looked at X \(") as caught:
        reader(table, tmp_path).read()
    assert caught.value.code == "not_counts"


def test_no_coordinates_and_no_mpp(table, tmp_path):
    bare = table.copy()
    del bare.obsm["spatial"]
    with pytest.raises(InputError) as caught:
        reader(bare, tmp_path)
    assert caught.value.code == "missing_positions"
    table.obs = table.obs.drop(columns=["array_row", "array_col"])
    table.obsm["spatial"] = np.random.default_rng(0).uniform(0, 500, (48, 2))
    with pytest.raises(InputError, match="column mpp") as caught:
        reader(table, tmp_path).read()
    assert caught.value.code == "no_mpp"
    adata = reader(table, tmp_path, mpp=0.5).read()
    assert adata.uns["spatial"]["h1"]["scalefactors"]["microns_per_pixel"] == 0.5
    assert adata.uns["tissuemake"]["observation"] == "cell"


def test_binned_cells_stand_on_a_square_grid(table, tmp_path):
    table.obs = table.obs.drop(columns=["array_row", "array_col"])
    rows, cols = (index.ravel() for index in np.indices((8, 6)))
    table.obsm["spatial"] = np.column_stack([750.0 * cols, 750.0 * rows])
    record = reader(table, tmp_path, mpp=0.1).read().uns["tissuemake"]
    assert (record["lattice"], record["pitch_um"], record["observation"]) == ("square", 75.0, "spot")


def test_images_and_scalefactors_inside_are_used(table, tmp_path):
    image = np.random.default_rng(0).random((50, 60, 3))
    factors = {"tissue_hires_scalef": 0.06, "microns_per_pixel": 0.7, "spot_diameter_fullres": 77.0}
    table.uns["spatial"] = {"lib": {"images": {"hires": image}, "scalefactors": factors, "metadata": {}}}
    spatial = reader(table, tmp_path).read().uns["spatial"]["h1"]
    assert (spatial["images"]["hires"] == np.rint(image * 255).astype(np.uint8)).all()
    assert factors.items() <= spatial["scalefactors"].items()


def test_several_libraries_are_several_sections(table, tmp_path):
    table.uns["spatial"] = {name: {"images": {}, "scalefactors": {"a": 1.0}} for name in ("one", "two")}
    with pytest.raises(InputError, match="one, two"):
        reader(table, tmp_path).read()


def test_other_vocabularies_of_feature_type_are_genes(table, tmp_path):
    table.var["feature_types"] = "protein_coding"
    assert reader(table, tmp_path).read().n_vars == 5
    table.var["feature_types"] = ["Gene Expression"] * 4 + ["Antibody Capture"]
    adata = reader(table, tmp_path).read()
    assert adata.n_vars == 4
    assert adata.obsm["features_antibody_capture"].shape == (48, 1)


def test_cut_file_is_named(table, tmp_path):
    table.write_h5ad(tmp_path / "given.h5ad")
    path = tmp_path / "given.h5ad"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"given\.h5ad") as caught:
        open_reader(Sample("h1", "h5ad", str(path))).read()
    assert caught.value.code == "unreadable_matrix"


def test_ingested_file_read_again_is_itself(visium, tmp_path):
    ingest_sample(Sample("s1", "visium", str(visium.write())), tmp_path / "ingested.h5ad")
    first = ad.read_h5ad(tmp_path / "ingested.h5ad")
    again = open_reader(Sample("s1", "h5ad", str(tmp_path / "ingested.h5ad"))).read()
    assert (first.X != again.X).nnz == 0
    assert (first.obsm["spatial"] == again.obsm["spatial"]).all()
    keys = ("software", "chemistry", "lattice", "pitch_um", "spot_diameter_um", "observation")
    assert all(first.uns["tissuemake"][key] == again.uns["tissuemake"][key] for key in keys)
    one, two = (adata.uns["spatial"]["s1"] for adata in (first, again))
    assert one["scalefactors"] == two["scalefactors"]
    assert (one["images"]["hires"] == two["images"]["hires"]).all()


@pytest.fixture
def store(table, tmp_path):
    """A SpatialData zarr: circles in a system twice as fine as the image, which is moved by (30, 10)."""
    from spatialdata import SpatialData
    from spatialdata.models import Image2DModel, ShapesModel, TableModel
    from spatialdata.transformations import Affine, Identity

    table.obs["region"] = pd.Categorical(["circles"] * 48)
    table.obs["number"] = np.arange(48)
    xy = table.obsm.pop("spatial")
    shuffled = np.random.default_rng(0).permutation(48)
    circles = ShapesModel.parse(
        xy[shuffled], geometry=0, radius=30.0, index=shuffled, transformations={"global": Identity()}
    )
    move = Affine([[2, 0, 30], [0, 2, 10], [0, 0, 1]], input_axes=("x", "y"), output_axes=("x", "y"))
    picture = np.random.default_rng(1).integers(0, 255, (3, 450, 420), dtype=np.uint8)
    image = Image2DModel.parse(picture, dims=("c", "y", "x"), transformations={"global": move})
    table = TableModel.parse(table, region="circles", region_key="region", instance_key="number")
    SpatialData(images={"he": image}, shapes={"circles": circles}, tables={"table": table}).write(
        tmp_path / "store.zarr"
    )
    return tmp_path / "store.zarr", xy, picture, table


@pytest.mark.parametrize("packed", [False, True])
def test_spatialdata_positions_are_pixels_of_its_image(store, tmp_path, packed):
    import shutil

    path, xy, picture, table = store
    if packed:
        path = shutil.make_archive(str(path), "zip", path.parent, path.name)
    adata = open_reader(Sample("z1", "spatialdata", str(path))).read()
    check_anndata(adata, INGESTED, "test")
    assert adata.obsm["spatial"] == pytest.approx((xy - [30, 10]) / 2)
    assert (adata.X != table.X).nnz == 0
    spatial = adata.uns["spatial"]["z1"]
    assert (spatial["images"]["hires"] == np.moveaxis(picture, 0, -1)).all()
    assert spatial["scalefactors"]["microns_per_pixel"] == pytest.approx(100 / 70)


def test_broken_store_is_named(store):
    path = store[0]
    (path / "zarr.json").unlink()
    with pytest.raises(InputError, match=r"store\.zarr") as caught:
        open_reader(Sample("z1", "spatialdata", str(path))).read()
    assert caught.value.code == "unreadable_matrix"
