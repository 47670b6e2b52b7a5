"""Every spot finds its own tile; bins and cells have none."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from tissuemake.contracts import EMBEDDINGS, write_anndata
from tissuemake.models.sparank.tile_images import read_tile_images


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


def test_spots_take_their_own_tile_in_the_order_of_the_spots(tmp_path):
    tiles = [("g0_0", "grid"), ("b", "spot"), ("a", "spot"), ("g0_1", "grid")]
    found = read_tile_images(write_embeddings(tmp_path / "e.h5ad", tiles), pd.Index(["a", "b", "c"]))
    assert found.seen.tolist() == [True, True, False]
    assert found.vectors.tolist() == [[3, -2], [2, -1], [0, 0]]
    assert found.encoder == "color" and found.features == ("darkness", "redness")


def test_grid_tiles_are_nobodys_even_where_the_name_is_alike(tmp_path):
    path = write_embeddings(tmp_path / "e.h5ad", [("g0_0", "grid"), ("other", "spot")])
    assert not read_tile_images(path, pd.Index(["g0_0", "bin"])).seen.any()


@pytest.mark.parametrize("names", [[], ["a", "b"]])
def test_a_sample_without_tiles_is_unseen(tmp_path, names):
    found = read_tile_images(write_embeddings(tmp_path / "e.h5ad", []), pd.Index(names, dtype=str))
    assert found.vectors.shape == (len(names), 2) and not found.seen.any()
