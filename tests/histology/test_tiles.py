"""Tiles: the right tissue at the right size, around spots and on a grid, in constant memory."""

from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pytest
import scipy.sparse as sp
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter

from tissuemake.contracts import INGESTED, write_anndata
from tissuemake.errors import InputError
from tissuemake.histology.slide import open_slide
from tissuemake.histology.tile_plan import TissueImage, grid_cells
from tissuemake.histology.tile_store import TileStore
from tissuemake.histology.tiles import Cutter, cut_all, tile_slide


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


def stored(path):
    """All columns of a tile file; pictures as ``pixels``, provenance in attrs."""
    with TileStore(path) as store:
        table = store.table.reset_index()
        table["pixels"] = list(store.pixels(range(len(store))))
        table.attrs["tissuemake"] = store.provenance
    return table


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
    tile_slide(ingested, tmp_path / "t.arrow", grid=False)
    table = stored(tmp_path / "t.arrow")
    assert list(table["tile"]) == ["spot0", "spot1"]
    assert (table["size_px"] == 224).all() and (table["size_um"] == 112).all() and (table["mpp"] == 0.5).all()
    for (x, y), pixels in zip(positions, table["pixels"], strict=False):
        crop = slide.picture[y - 112 : y + 112, x - 112 : x + 112]
        assert np.abs(pixels.astype(int) - crop).mean() < 2
    # Spot 0 reaches 12 pixels over the left and upper edge of the tissue.
    assert table["tissue_fraction"].tolist() == pytest.approx([(212 / 224) ** 2, (212 / 224) ** 2], abs=0.03)


def test_tiles_have_the_same_physical_size_whatever_the_pixels(tmp_path, slide):
    ingested = write_ingested(tmp_path / "i.h5ad", [(300, 450)], mpp=2.0, image=slide.path)
    tile_slide(ingested, tmp_path / "t.arrow", tile_um=112, tile_px=224, grid=False)
    tile = stored(tmp_path / "t.arrow")["pixels"][0]
    assert tile.shape == (224, 224, 3)
    assert (
        tile[112, :100].min() > 240 and tile[112, 124:, 1].max() < 135
    )  # the tissue's edge is in the middle


def test_grid_covers_tissue_and_cell_names_follow_from_position(tmp_path, slide):
    ingested = write_ingested(tmp_path / "i.h5ad", [(600, 450)], mpp=1.0, image=slide.path)
    tile_slide(ingested, tmp_path / "t.arrow", tile_um=100, tile_px=64)
    table = stored(tmp_path / "t.arrow")
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
    tile_slide(ingested, tmp_path / "t.arrow", tile_um=100, tile_px=32)
    grid = stored(tmp_path / "t.arrow").query("kind == 'grid'")
    assert len(grid) == 30 and grid["x"].max() < 900


def test_hires_serves_when_the_full_image_is_gone_and_its_mpp_is_stated(tmp_path, slide):
    ingested = write_ingested(
        tmp_path / "i.h5ad", [(6000, 4500)], mpp=0.5, image="/gone.tif", hires=slide.picture, scale=0.1
    )
    tile_slide(ingested, tmp_path / "t.arrow", tile_um=50, tile_px=32, grid=False)
    table = stored(tmp_path / "t.arrow")
    assert table["mpp"].tolist() == [5.0]
    assert "10.0 pixels" in table.attrs["tissuemake"]["note"]
    assert np.abs(table["pixels"][0][16, 16].astype(int) - slide.picture[450, 600]).max() < 4


@pytest.mark.parametrize("hires", [None, np.zeros((30, 30, 3), np.uint8)])
def test_no_image_or_a_black_dummy_gives_an_empty_table(tmp_path, hires):
    ingested = write_ingested(tmp_path / "i.h5ad", [(6, 4)], mpp=0.5, hires=hires)
    tile_slide(ingested, tmp_path / "t.arrow")
    table = stored(tmp_path / "t.arrow")
    assert len(table) == 0 and table.attrs["tissuemake"]["note"].startswith("no image")


def test_a_coarse_image_is_cut_only_where_observations_lie(tmp_path, slide):
    positions = [(610, 450), (620, 460), (720, 330)]
    ingested = write_ingested(tmp_path / "i.h5ad", positions, mpp=10.0, image=slide.path, observation="bin")
    tile_slide(ingested, tmp_path / "t.arrow", tile_um=150, tile_px=32)
    table = stored(tmp_path / "t.arrow")
    assert set(table["tile"]) == set(grid_cells(np.array(positions), 15.0)) == {"g30_40", "g30_41", "g22_48"}


def test_cells_get_grid_tiles_only(tmp_path, slide):
    ingested = write_ingested(
        tmp_path / "i.h5ad", [(600, 450)], mpp=1.0, image=slide.path, observation="cell"
    )
    tile_slide(ingested, tmp_path / "t.arrow", tile_px=32)
    assert set(stored(tmp_path / "t.arrow")["kind"]) == {"grid"}


def test_rows_are_written_in_groups_and_provenance_is_kept(tmp_path, slide):
    ingested = write_ingested(tmp_path / "i.h5ad", [(600, 450)], mpp=1.0, image=slide.path)
    tile_slide(ingested, tmp_path / "t.arrow", tile_um=20, tile_px=8)
    batches = pa.ipc.open_file(tmp_path / "t.arrow")
    sizes = [batches.get_batch(i).num_rows for i in range(batches.num_record_batches)]
    assert sizes == [256, 256, 239, 0] and sum(sizes) == 30 * 25 + 1
    provenance = stored(tmp_path / "t.arrow").attrs["tissuemake"]
    assert provenance["seconds"] > 0 and provenance["image"] == "slide.png"


@pytest.mark.parametrize("kind", ["picture", "pyramid"])
def test_any_number_of_processes_writes_the_same(tmp_path, slide, kind):
    if kind == "pyramid":
        slide.path = tmp_path / "slide.tif"
        tifffile.imwrite(slide.path, slide.picture, tile=(256, 256), photometric="rgb", compression="jpeg")
    ingested = write_ingested(tmp_path / "i.h5ad", [(600, 450)], mpp=1.0, image=slide.path)
    for processes in (1, 3):
        output = tmp_path / f"{processes}.arrow"
        tile_slide(ingested, output, tile_um=25, tile_px=32, processes=processes)
    one, three = (stored(tmp_path / f"{processes}.arrow") for processes in (1, 3))
    assert len(one) == 24 * 20 + 1
    pd.testing.assert_frame_equal(one.drop(columns="pixels"), three.drop(columns="pixels"))
    np.testing.assert_array_equal(np.stack(one["pixels"]), np.stack(three["pixels"]))


def test_an_error_in_a_process_is_the_error(tmp_path, slide):
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, slide.picture, tile=(256, 256), photometric="rgb", compression="jpeg")
    with tifffile.TiffFile(path) as tiff:
        offset, size = tiff.pages[0].dataoffsets[6], tiff.pages[0].databytecounts[6]
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = b"x" * size
    path.write_bytes(content)
    image = TissueImage(open_slide(path), 1.0, 1.0)
    cutter = Cutter(image, tile_um=100, tile_px=64)
    rows = pd.DataFrame(
        {"x": [350.0, 400.0], "y": [350.0, 350.0], "tile": ["a", "b"], "tissue_fraction": 1.0}
    )
    with pytest.raises(InputError, match=r"slide\.tif"):
        list(cut_all(cutter, [rows, rows], processes=2))


def test_overlapping_tiles_start_at_a_share_of_the_edge_and_have_names_of_their_own(tmp_path, slide):
    ingested = write_ingested(tmp_path / "i.h5ad", [(600, 450)], mpp=1.0, image=slide.path)
    tile_slide(ingested, tmp_path / "t.arrow", tile_um=100, tile_px=32, overlap=0.75)
    grid = stored(tmp_path / "t.arrow").query("kind == 'grid'")
    assert grid["tile"].is_unique and len(grid) > 12 * 30  # 30 without overlap
    assert sorted(set(np.diff(np.unique(grid["x"])))) == [25]
    assert list(grid_cells(grid[["x", "y"]].to_numpy() + 12, 100.0, 0.75)) == list(grid["tile"])
    with pytest.raises(InputError, match="overlap"):
        tile_slide(ingested, tmp_path / "t.arrow", overlap=1.0)


def test_blurred_and_pen_marked_tiles_are_flagged_and_kept(tmp_path):
    rng = np.random.default_rng(0)
    tissue = np.array([205, 130, 185]) + rng.normal(0, 25, (600, 1000, 1)) * (1.0, 1.2, 0.8)
    tissue[:, 500:700] = gaussian_filter(tissue[:, 500:700], (3, 3, 0))
    tissue[:, 800:] = tissue[:, 800:] * (0.1, 0.5, 0.3)
    path = tmp_path / "slide.png"
    Image.fromarray(tissue.clip(0, 255).astype(np.uint8)).save(path)
    positions = [(250, 250), (600, 250), (900, 250)]
    ingested = write_ingested(tmp_path / "i.h5ad", positions, mpp=1.0, image=path)
    tile_slide(ingested, tmp_path / "t.arrow", tile_um=100, tile_px=100)
    table = stored(tmp_path / "t.arrow").set_index("tile")
    assert table.loc[["spot0", "spot1", "spot2"], "usable"].tolist() == [True, False, False]
    assert table.loc["spot0", "focus"] > 0.8 > 0.3 > table.loc["spot1", "focus"]
    assert table.loc["spot2", "pen"] > 0.9 and table.loc[["spot0", "spot1"], "pen"].max() < 0.02
    grid = table[table["kind"] == "grid"]
    assert grid["usable"].sum() == 6 * 6 and not grid.query("500 < x < 700")["usable"].any()


def test_folded_tiles_are_flagged_and_kept(tmp_path):
    rng = np.random.default_rng(0)
    tissue = np.array([205, 130, 185]) + gaussian_filter(rng.normal(0, 60, (800, 1000, 1)), (2, 2, 0))
    tissue[:, 640:700] *= (tissue[:, 640:700] / 250) ** 2
    path = tmp_path / "slide.png"
    Image.fromarray(tissue.clip(0, 255).astype(np.uint8)).save(path)
    ingested = write_ingested(tmp_path / "i.h5ad", [(250, 250), (660, 250)], mpp=1.0, image=path)
    tile_slide(ingested, tmp_path / "t.arrow", tile_um=100, tile_px=100)
    table = stored(tmp_path / "t.arrow").set_index("tile")
    assert table.loc[["spot0", "spot1"], "usable"].tolist() == [True, False]
    assert table.loc["spot0", "fold"] == 0 and 0.5 < table.loc["spot1", "fold"] < 0.65
    grid = table[table["kind"] == "grid"]
    assert set(grid.index[~grid["usable"]]) == {f"g{row}_6" for row in range(8)}
    assert table.attrs["tissuemake"]["folded"] == 8 + 1 and table.attrs["tissuemake"]["under_pen"] == 0


def test_pictures_lose_little_between_slide_and_store(tmp_path):
    tissue = np.array([205, 130, 185]) + gaussian_filter(
        np.random.default_rng(0).normal(0, 60, (600, 600, 3)), (1, 1, 0)
    )
    picture = tissue.clip(0, 255).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "slide.png")
    ingested = write_ingested(tmp_path / "i.h5ad", [(300, 300)], mpp=0.5, image=tmp_path / "slide.png")
    tile_slide(ingested, tmp_path / "t.arrow", grid=False)
    pixels = stored(tmp_path / "t.arrow")["pixels"][0].astype(float)
    error = np.mean((pixels - picture[188:412, 188:412]) ** 2)
    assert 10 * np.log10(255**2 / error) > 33


def test_a_damaged_image_leaves_no_output(tmp_path, slide):
    broken = tmp_path / "broken.png"
    broken.write_bytes(slide.path.read_bytes()[:200])
    ingested = write_ingested(tmp_path / "i.h5ad", [(6, 4)], mpp=0.5, image=broken)
    with pytest.raises(InputError, match=r"broken\.png"):
        tile_slide(ingested, tmp_path / "t.arrow")
    assert not list(tmp_path.glob("*arrow*")) and not list(tmp_path.glob(".*arrow*"))


@pytest.mark.real
def test_her2st_c2_tiles_are_crops_of_the_jpg(data_dir, tmp_path):
    spots = pd.read_csv(data_dir / "st_her2" / "spots" / "C2_selection.tsv", sep="\t").head(40)
    path = data_dir / "st_her2" / "images" / "C2_5714_HE_BT_C2.jpg"
    positions = spots[["pixel_x", "pixel_y"]].to_numpy()
    tile_px = round(112 / 0.688)
    ingested = write_ingested(tmp_path / "i.h5ad", positions, mpp=0.688, image=path)
    tile_slide(ingested, tmp_path / "t.arrow", tile_um=tile_px * 0.688, tile_px=tile_px, grid=False)
    table = stored(tmp_path / "t.arrow")
    with open_slide(path) as slide:
        for row in table.iloc[::8].itertuples():
            left, top = round(row.x - tile_px / 2), round(row.y - tile_px / 2)
            crop = slide.read_level(0, left, top, tile_px, tile_px)
            assert row.pixels.shape == (163, 163, 3)
            assert np.abs(row.pixels.astype(int) - crop).mean() < 3
    assert table["tissue_fraction"].median() > 0.9
