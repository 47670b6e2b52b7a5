"""Tiles: the right tissue at the right size, around spots and on a grid, in constant memory."""

import io
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from PIL import Image

from tissuemake.contracts import INGESTED, TILES, read_table, write_anndata
from tissuemake.errors import InputError
from tissuemake.histology.slide import open_slide
from tissuemake.histology.tiles import TissueImage, grid_cells, read_tile, tile_slide


def write_ingested(
    path, positions, *, mpp, image="", hires=None, scale=1.0, observation="spot", in_tissue=None
):
    """An ingested sample "s" with the given spot positions (full-resolution pixels)."""
    n = len(positions)
    adata = ad.AnnData(
        sp.csr_matrix(np.ones((n, 2), np.float32)),
        obs=pd.DataFrame(
            {"in_tissue": np.ones(n, bool) if in_tissue is None else in_tissue},
            index=[f"spot{i}" for i in range(n)],
        ),
        var=pd.DataFrame({"gene_id": ["", ""]}, index=["A", "B"]),
        obsm={"spatial": np.asarray(positions, float)},
        uns={"tissuemake": {"sample": "s", "observation": observation}},
    )
    adata.uns["spatial"] = {
        "s": {
            "images": {} if hires is None else {"hires": hires},
            "scalefactors": {"microns_per_pixel": mpp, "tissue_hires_scalef": scale},
            "metadata": {"source_image_path": str(image)},
        }
    }
    write_anndata(adata, path, INGESTED)
    return path


def decoded(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg)))


@pytest.fixture
def slide(tmp_path):
    """A 1200 x 900 slide: glass, and pink tissue from x 300 to 900, y 200 to 700, redder to the right."""
    picture = np.full((900, 1200, 3), 243, np.uint8)
    picture[200:700, 300:900] = (210, 130, 185)
    picture[200:700, 300:900, 0] -= np.linspace(60, 0, 600).astype(np.uint8)
    path = tmp_path / "slide.png"
    Image.fromarray(picture).save(path)
    return SimpleNamespace(path=path, picture=picture)


def test_spot_tiles_show_the_tissue_around_each_spot(tmp_path, slide):
    positions = [(400, 300), (800, 600), (20, 10)]
    ingested = write_ingested(
        tmp_path / "i.h5ad", positions, mpp=0.5, image=slide.path, in_tissue=[True, True, False]
    )
    tile_slide(ingested, tmp_path / "t.parquet", grid=False)
    table = read_table(tmp_path / "t.parquet", TILES)
    assert list(table["tile"]) == ["spot0", "spot1"]
    assert (table["size_px"] == 224).all() and (table["size_um"] == 112).all() and (table["mpp"] == 0.5).all()
    for (x, y), jpeg in zip(positions, table["jpeg"], strict=False):
        crop = slide.picture[y - 112 : y + 112, x - 112 : x + 112]
        assert np.abs(decoded(jpeg).astype(int) - crop).mean() < 2
    # Spot 0 reaches 12 pixels over the left and upper edge of the tissue.
    assert table["tissue_fraction"].tolist() == pytest.approx([(212 / 224) ** 2, (212 / 224) ** 2], abs=0.03)


def test_tiles_have_the_same_physical_size_whatever_the_pixels(tmp_path, slide):
    image = TissueImage(open_slide(slide.path), scale=1.0, microns_per_pixel=2.0)
    tile = read_tile(image, 300, 450, tile_um=112, tile_px=224)
    assert tile.shape == (224, 224, 3)
    assert (
        tile[112, :100].min() > 240 and tile[112, 124:, 1].max() < 135
    )  # the tissue's edge is in the middle


def test_grid_covers_tissue_and_cell_names_follow_from_position(tmp_path, slide):
    ingested = write_ingested(tmp_path / "i.h5ad", [(600, 450)], mpp=1.0, image=slide.path)
    tile_slide(ingested, tmp_path / "t.parquet", tile_um=100, tile_px=64)
    table = read_table(tmp_path / "t.parquet", TILES)
    grid = table[table["kind"] == "grid"]
    assert len(grid) == 6 * 5
    for row in grid.itertuples():
        assert row.tile == f"g{int(row.y // 100)}_{int(row.x // 100)}"
    assert grid["x"].min() == 350 and grid["y"].max() == 650
    assert grid["tissue_fraction"].min() > 0.95


def test_grid_leaves_out_parts_on_which_no_spot_lies(tmp_path, slide):
    slide.picture[20:180, 950:1190] = (150, 60, 160)  # a label
    Image.fromarray(slide.picture).save(slide.path)
    ingested = write_ingested(tmp_path / "i.h5ad", [(600, 450)], mpp=1.0, image=slide.path)
    tile_slide(ingested, tmp_path / "t.parquet", tile_um=100, tile_px=32)
    grid = read_table(tmp_path / "t.parquet", TILES).query("kind == 'grid'")
    assert len(grid) == 30 and grid["x"].max() < 900


def test_hires_serves_when_the_full_image_is_gone_and_its_mpp_is_stated(tmp_path, slide):
    ingested = write_ingested(
        tmp_path / "i.h5ad", [(6000, 4500)], mpp=0.5, image="/gone.tif", hires=slide.picture, scale=0.1
    )
    tile_slide(ingested, tmp_path / "t.parquet", tile_um=50, tile_px=32, grid=False)
    table = read_table(tmp_path / "t.parquet", TILES)
    assert table["mpp"].tolist() == [5.0]
    assert "10.0 pixels" in table.attrs["tissuemake"]["note"]
    assert np.abs(decoded(table["jpeg"][0])[16, 16].astype(int) - slide.picture[450, 600]).max() < 4


@pytest.mark.parametrize("hires", [None, np.zeros((30, 30, 3), np.uint8)])
def test_no_image_or_a_black_dummy_gives_an_empty_table(tmp_path, hires):
    ingested = write_ingested(tmp_path / "i.h5ad", [(6, 4)], mpp=0.5, hires=hires)
    tile_slide(ingested, tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet", TILES)
    assert len(table) == 0 and table.attrs["tissuemake"]["note"].startswith("no image")


def test_a_coarse_image_is_cut_only_where_observations_lie(tmp_path, slide):
    positions = [(610, 450), (620, 460), (720, 330)]
    ingested = write_ingested(tmp_path / "i.h5ad", positions, mpp=10.0, image=slide.path, observation="bin")
    tile_slide(ingested, tmp_path / "t.parquet", tile_um=150, tile_px=32)
    table = read_table(tmp_path / "t.parquet", TILES)
    assert set(table["tile"]) == set(grid_cells(np.array(positions), 15.0)) == {"g30_40", "g30_41", "g22_48"}


def test_cells_get_grid_tiles_only(tmp_path, slide):
    ingested = write_ingested(
        tmp_path / "i.h5ad", [(600, 450)], mpp=1.0, image=slide.path, observation="cell"
    )
    tile_slide(ingested, tmp_path / "t.parquet", tile_px=32)
    assert set(read_table(tmp_path / "t.parquet", TILES)["kind"]) == {"grid"}


def test_rows_are_written_in_groups_and_provenance_is_kept(tmp_path, slide):
    ingested = write_ingested(tmp_path / "i.h5ad", [(600, 450)], mpp=1.0, image=slide.path)
    tile_slide(ingested, tmp_path / "t.parquet", tile_um=20, tile_px=8)
    file = pq.ParquetFile(tmp_path / "t.parquet")
    assert file.num_row_groups == 3 and file.metadata.num_rows == 30 * 25 + 1
    assert read_table(tmp_path / "t.parquet", TILES).attrs["tissuemake"]["seconds"] > 0


def test_a_damaged_image_leaves_no_output(tmp_path, slide):
    broken = tmp_path / "broken.png"
    broken.write_bytes(slide.path.read_bytes()[:200])
    ingested = write_ingested(tmp_path / "i.h5ad", [(6, 4)], mpp=0.5, image=broken)
    with pytest.raises(InputError, match=r"broken\.png"):
        tile_slide(ingested, tmp_path / "t.parquet")
    assert not list(tmp_path.glob("*parquet*")) and not list(tmp_path.glob(".*parquet*"))


@pytest.mark.real
def test_her2st_c2_tiles_are_crops_of_the_jpg(data_dir, tmp_path):
    spots = pd.read_csv(data_dir / "st_her2" / "spots" / "C2_selection.tsv", sep="\t").head(40)
    path = data_dir / "st_her2" / "images" / "C2_5714_HE_BT_C2.jpg"
    positions = spots[["pixel_x", "pixel_y"]].to_numpy()
    tile_px = round(112 / 0.688)
    ingested = write_ingested(tmp_path / "i.h5ad", positions, mpp=0.688, image=path)
    tile_slide(ingested, tmp_path / "t.parquet", tile_um=tile_px * 0.688, tile_px=tile_px, grid=False)
    table = read_table(tmp_path / "t.parquet", TILES)
    with open_slide(path) as slide:
        for row in table.iloc[::8].itertuples():
            left, top = round(row.x - tile_px / 2), round(row.y - tile_px / 2)
            crop = slide.read_level(0, left, top, tile_px, tile_px)
            assert decoded(row.jpeg).shape == (163, 163, 3)
            assert np.abs(decoded(row.jpeg).astype(int) - crop).mean() < 3
    assert table["tissue_fraction"].median() > 0.9
