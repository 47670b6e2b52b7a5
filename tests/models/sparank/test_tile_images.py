"""Every observation finds its tile: its own, the grid tile that it lies in, or none."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from tissuemake.contracts import EMBEDDINGS, write_anndata
from tissuemake.models.sparank.tile_images import read_tile_images

MPP = 0.5
EDGE = 112 / MPP


def write_embeddings(path, tiles):
    """Tiles (name, kind); the vector of tile i is (i + 1, -i)."""
    obs = pd.DataFrame(
        {"kind": [kind for _, kind in tiles], "x": 0.0, "y": 0.0, "size_um": 112.0},
        index=[name for name, _ in tiles],
    )
    vectors = np.array([[i + 1, -i] for i in range(len(tiles))], np.float32).reshape(-1, 2)
    made = ad.AnnData(vectors, obs=obs, uns={"tissuemake": {"encoder": "color"}})
    made.var_names = ["darkness", "redness"]
    write_anndata(made, path, EMBEDDINGS)
    return path


def sample(names, positions):
    made = ad.AnnData(np.ones((len(names), 1), np.float32), obs=pd.DataFrame(index=names))
    made.obsm["spatial"] = np.array(positions, float)
    made.uns["tissuemake"] = {"sample": "s"}
    made.uns["spatial"] = {"s": {"scalefactors": {"microns_per_pixel": MPP}}}
    return made


def test_spots_take_their_own_tile_in_the_order_of_the_spots(tmp_path):
    path = write_embeddings(tmp_path / "e.h5ad", [("b", "spot"), ("a", "spot"), ("g0_0", "grid")])
    found = read_tile_images(path, sample(["a", "b", "c"], [(10, 10), (10, 10), (5 * EDGE, 0)]))
    assert found.seen.tolist() == [True, True, False]
    assert found.vectors.tolist() == [[2, -1], [1, 0], [0, 0]]
    assert found.encoder == "color" and found.features == ("darkness", "redness")


def test_bins_take_the_grid_tile_they_lie_in(tmp_path):
    path = write_embeddings(tmp_path / "e.h5ad", [("g0_1", "grid"), ("g2_0", "grid")])
    positions = [(EDGE + 1, 5), (2 * EDGE - 1, EDGE - 1), (3, 2.5 * EDGE), (3, 0)]
    found = read_tile_images(path, sample(["p", "q", "r", "s"], positions))
    assert found.seen.tolist() == [True, True, True, False]
    assert found.vectors[:, 0].tolist() == [1, 1, 2, 0]


def test_a_barcode_like_a_grid_cell_is_no_grid_cell(tmp_path):
    path = write_embeddings(tmp_path / "e.h5ad", [("g0_0", "grid"), ("other", "spot")])
    found = read_tile_images(path, sample(["g0_0"], [(9 * EDGE, 0)]))
    assert not found.seen.any()


@pytest.mark.parametrize("names", [[], ["a", "b"]])
def test_a_sample_without_tiles_is_unseen(tmp_path, names):
    path = write_embeddings(tmp_path / "e.h5ad", [])
    found = read_tile_images(path, sample(names, np.zeros((len(names), 2))))
    assert found.vectors.shape == (len(names), 2) and not found.seen.any()
