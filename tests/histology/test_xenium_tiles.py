"""Tiles of a Xenium section: they show the tissue under the cells, whatever turn the H&E image was scanned at."""

import numpy as np
import pandas as pd
import pytest

from tissuemake.contracts import INGESTED, write_anndata
from tissuemake.histology.stains import STANDARD
from tissuemake.histology.tile_plan import grid_cells
from tissuemake.histology.tile_store import TileStore
from tissuemake.histology.tiles import tile_slide
from tissuemake.ingest import open_reader
from tissuemake.sheets import Sample
from tissuemake.simulate.vendor_folders import simulate_tissue

EDGE_UM, EDGE_PX = 100.0, 200


@pytest.fixture(scope="module")
def section(tmp_path_factory):
    """Ingested cells of a simulated section with its H&E image and alignment, and its tiles."""
    folder = tmp_path_factory.mktemp("section")
    simulate_tissue(folder, seed=1, spots=25, n_genes=400, atlas_cells=60)
    images = {
        name: str(folder / "xenium" / file)
        for name, file in (("image", "he_image.ome.tif"), ("alignment", "he_imagealignment.csv"))
    }
    cells = open_reader(Sample("s", "xenium", str(folder / "xenium"), **images)).read()
    write_anndata(cells, folder / "ingested.h5ad", INGESTED)
    tile_slide(folder / "ingested.h5ad", folder / "tiles.arrow", tile_um=EDGE_UM, tile_px=EDGE_PX)
    return cells, TileStore(folder / "tiles.arrow")


def haematoxylin(positions, cells, store):
    """Amount at each position (n, 2) that lies on a tile, read from the tiles."""
    edge = EDGE_UM / cells.uns["spatial"]["s"]["scalefactors"]["microns_per_pixel"]
    table = store.table
    pixels = store.pixels(np.arange(len(store)))
    rows = pd.Series(np.arange(len(store)), table.index).reindex(grid_cells(positions, edge))
    seen = rows.notna().to_numpy()
    rows = rows[seen].astype(int).to_numpy()
    middle = table[["x", "y"]].to_numpy()[rows]
    x, y = np.clip(((positions[seen] - middle) / edge + 0.5) * EDGE_PX, 0, EDGE_PX - 1).astype(int).T
    return STANDARD.amounts(pixels[rows, y, x])[0]


def test_cells_stand_on_haematoxylin(section):
    cells, store = section
    positions = np.asarray(cells.obsm["spatial"])
    aside = positions + np.random.default_rng(0).uniform(-120, 120, positions.shape)
    at_cells, elsewhere = haematoxylin(positions, cells, store), haematoxylin(aside, cells, store)
    mirrored = haematoxylin(positions[:, ::-1].copy(), cells, store)
    print(f"haematoxylin at cells {at_cells.mean():.2f}, elsewhere {elsewhere.mean():.2f}")
    assert len(at_cells) > 0.9 * len(positions)
    assert at_cells.mean() > 1.5 * elsewhere.mean() and at_cells.mean() > 1.5 * mirrored.mean()


def test_tiles_have_the_scale_of_the_image_and_cells_no_tiles_of_their_own(section):
    cells, store = section
    assert set(store.table["kind"]) == {"grid"}
    stated = cells.uns["spatial"]["s"]["scalefactors"]["microns_per_pixel"]
    assert store.table["mpp"].to_numpy() == pytest.approx(stated, rel=1e-6)
