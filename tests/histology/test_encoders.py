"""Tile embeddings: what the numbers measure, the file, its order."""

from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from tissuemake.contracts import EMBEDDINGS, read_anndata
from tissuemake.errors import InputError
from tissuemake.histology import encoders, tile_store
from tissuemake.histology.color import FEATURES, color_features
from tissuemake.histology.encoders import embed
from tissuemake.histology.stains import measure_staining
from tissuemake.simulate.staining import _colour

MPP = 0.5


def tile(nuclei=(), eosin=0.4, px=224):
    """A tile with elliptic nuclei (x, y, a, b in µm, angle, haematoxylin) in even eosin."""
    y, x = np.mgrid[:px, :px] * (112 / px)
    blue = np.full((px, px), 0.05, np.float32)
    for left, top, a, b, angle, density in nuclei:
        u, v = x - left, y - top
        along, across = (
            (u * np.cos(angle) + v * np.sin(angle)) / a,
            (v * np.cos(angle) - u * np.sin(angle)) / b,
        )
        blue[along**2 + across**2 < 1] = density
    return _colour(blue, np.full((px, px), eosin, np.float32))


def measured(picture, mpp=MPP):
    return SimpleNamespace(**dict(zip(FEATURES, color_features(picture, mpp).tolist(), strict=True)))


def write_tiles(path, pictures):
    """A file of tiles t0, t1, …"""
    names = [f"t{i}" for i in range(len(pictures))]
    table = pd.DataFrame({"x": 10.0 * np.arange(len(pictures)), "y": 5.0, "mpp": 0.5}, index=names)
    tile_store.write_tiles(path, table, pictures)
    return path


def test_haematoxylin_and_eosin_are_told_apart():
    nuclei = [(x, y, 4, 4, 0, 1.0) for x in range(10, 110, 20) for y in range(10, 110, 20)]
    pale, pink, blue = measured(tile()), measured(tile(eosin=0.8)), measured(tile(nuclei))
    assert pink.tile_eosin_mean > 1.8 * pale.tile_eosin_mean
    assert pink.tile_haematoxylin_mean == pytest.approx(pale.tile_haematoxylin_mean, abs=0.06)
    assert blue.tile_haematoxylin_mean > pale.tile_haematoxylin_mean + 0.05
    darker = measured(tile([(*nucleus[:5], 1.5) for nucleus in nuclei]))
    assert darker.tile_haematoxylin_mean > blue.tile_haematoxylin_mean + 0.03
    assert darker.tile_nuclear_share == pytest.approx(blue.tile_nuclear_share, abs=0.01)


def test_nuclei_are_counted_in_the_spot_and_in_the_tile():
    inside = [(56, 56, 4, 4, 0, 1.0), (50, 70, 4, 4, 0, 1.0)]
    outside = [(8, 8, 4, 4, 0, 1.0), (100, 100, 4, 4, 0, 1.0), (56, 90, 4, 4, 0, 1.0)]
    found = measured(tile(inside + outside))
    assert found.spot_nuclei_per_1000_um2 == pytest.approx(2 * 1000 / (np.pi * 27.5**2), rel=0.02)
    assert found.tile_nuclei_per_1000_um2 == pytest.approx(5 * 1000 / 112**2, rel=0.02)
    assert found.tile_nuclear_share == pytest.approx(5 * np.pi * 16 / 112**2, rel=0.1)


def test_shape_darkness_and_order_of_nuclei():
    places = [(x, y) for x in range(10, 110, 24) for y in range(10, 110, 24)]
    small = measured(tile([(x, y, 2.8, 2.7, 0, 1.4) for x, y in places]))
    large = measured(tile([(x, y, 6.0, 5.0, 0, 0.6) for x, y in places]))
    assert small.tile_nuclei_small > 10 * large.tile_nuclei_small
    assert small.tile_nuclei_round_dark > 1 > 0.05 > large.tile_nuclei_round_dark
    rng = np.random.default_rng(0)
    ordered = measured(tile([(x, y, 7, 2, 0.6, 1.0) for x, y in places]))
    mixed = measured(tile([(x, y, 7, 2, rng.uniform(0, np.pi), 1.0) for x, y in places]))
    assert ordered.tile_nuclei_alignment > 0.95 > 0.6 > mixed.tile_nuclei_alignment


@pytest.mark.parametrize("px", [112, 224, 448])
def test_pixel_size_hardly_matters(px):
    nuclei = [(x, y, 4, 3, 0.5, 1.0) for x in range(10, 110, 20) for y in range(10, 110, 20)]
    found, native = measured(tile(nuclei, px=px), 112 / px), measured(tile(nuclei))
    for name in ("tile_haematoxylin_mean", "tile_nuclei_per_1000_um2", "spot_eosin_mean"):
        assert getattr(found, name) == pytest.approx(getattr(native, name), rel=0.08)


def test_blank_black_and_tiny_tiles_have_finite_features():
    for picture in (np.full((224, 224, 3), 255, np.uint8), np.zeros((224, 224, 3), np.uint8), tile(px=16)):
        assert np.isfinite(color_features(picture, 112 / len(picture))).all()


def test_file_keeps_order_and_place_over_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(embed, "ROWS_IN_MEMORY", 2)
    nuclei = [(x, 56, 4, 4, 0, 1.2) for x in range(10, 110, 12)]
    pictures = [tile(nuclei, eosin=level) for level in (0.9, 0.1, 0.5, 0.3, 0.7)]
    tiles = write_tiles(tmp_path / "t.arrow", pictures)
    encoders.embed_tiles(tiles, tmp_path / "color.h5ad")
    found = read_anndata(tmp_path / "color.h5ad", EMBEDDINGS)
    assert list(found.obs_names) == ["t0", "t1", "t2", "t3", "t4"] and found.X.dtype == np.float32
    assert found.obs["x"].tolist() == [0, 10, 20, 30, 40]
    order = found[:, "tile_eosin_mean"].X.ravel().argsort().argsort()
    assert order.tolist() == [4, 0, 2, 1, 3]
    with tile_store.TileStore(tiles) as store:
        decoded = store.pixels(range(5))
    staining = measure_staining(decoded)
    np.testing.assert_array_equal(found.X[2], color_features(decoded[2], MPP, staining))
    assert found.uns["tissuemake"]["encoder"] == "color" and found.uns["tissuemake"]["seconds"] > 0


def test_equal_tiles_give_equal_files(tmp_path):
    tiles = write_tiles(tmp_path / "t.arrow", [tile(eosin=0.3), tile([(50, 50, 4, 4, 0, 1.0)])])
    for name in ("a.h5ad", "b.h5ad"):
        encoders.embed_tiles(tiles, tmp_path / name)
    first, second = (ad.read_h5ad(tmp_path / name) for name in ("a.h5ad", "b.h5ad"))
    np.testing.assert_array_equal(first.X, second.X)


def test_no_tiles_give_no_vectors(tmp_path):
    encoders.embed_tiles(write_tiles(tmp_path / "t.arrow", []), tmp_path / "e.h5ad")
    assert read_anndata(tmp_path / "e.h5ad", EMBEDDINGS).shape == (0, len(FEATURES))


def test_at_most_a_batch_of_tiles_is_in_memory(tmp_path, monkeypatch):
    seen, looked = [], []
    monkeypatch.setattr(embed, "ROWS_IN_MEMORY", 4)
    monkeypatch.setattr(embed, "LOOKED_AT", 3)
    monkeypatch.setattr(encoders.ColorEncoder, "look", lambda self, tiles: looked.append(len(tiles)))
    encode = encoders.ColorEncoder.encode
    monkeypatch.setattr(
        encoders.ColorEncoder,
        "encode",
        lambda self, tiles, mpp: seen.append(len(tiles)) or encode(self, tiles, mpp),
    )
    tiles = write_tiles(tmp_path / "t.arrow", [tile(px=32)] * 11)
    encoders.embed_tiles(tiles, tmp_path / "e.h5ad")
    assert max(seen) == 4 and sum(seen) == 11
    assert looked == [3]


def test_unknown_encoder_and_foreign_tables_are_refused(tmp_path):
    tiles = write_tiles(tmp_path / "t.arrow", [])
    with pytest.raises(InputError, match="color") as caught:
        encoders.embed_tiles(tiles, tmp_path / "e.h5ad", encoder="colour")
    assert caught.value.code == "unknown_method"
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="other"):
        encoders.embed_tiles(tmp_path / "other.parquet", tmp_path / "e.h5ad")
    assert not (tmp_path / "e.h5ad").exists()
