"""Domains from the stained image: alone and with expression, each as loud; spots without a tile have none."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from tissuemake.contracts import DOMAINS, EMBEDDINGS, read_table, write_anndata
from tissuemake.domains.cluster import cluster_domains
from tissuemake.domains.image_features import image_embedding, join_blocks, read_tile_vectors


def tiles_of(adata: ad.AnnData, vectors: np.ndarray, path, kind: str = "spot"):
    """Embeddings of one tile per spot, written in another order, a grid tile among them."""
    obs = pd.DataFrame({"kind": kind, "x": 0.0, "y": 0.0, "size_um": 112.0}, index=adata.obs_names)
    obs.loc["g0_0"] = ["grid", 0.0, 0.0, 112.0]
    tiles = ad.AnnData(np.vstack([vectors, vectors[:1] + 9]).astype(np.float32), obs=obs)
    tiles.uns["tissuemake"] = {"encoder": "net"}
    write_anndata(tiles[::-1].copy(), path, EMBEDDINGS)
    return path


def features(zone: np.ndarray, strength: float, seed: int = 5) -> np.ndarray:
    """Twenty features in units of their own, half of them shifted by the zone; one constant."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(len(zone), 20)) + strength * np.outer(zone, np.arange(20) % 2)
    values = values * 10.0 ** rng.integers(-2, 4, 20)
    values[:, 4] = 0.3
    return values


def domains_of(adata, written, tmp_path, **embeddings):
    cluster_domains(written(adata), tmp_path / "domains.parquet", embeddings=embeddings)
    return read_table(tmp_path / "domains.parquet", DOMAINS)


def test_an_encoder_gives_two_columns_and_the_image_finds_what_it_shows(zoned, written, tmp_path):
    adata = zoned()
    zone = adata.obs["zone"].to_numpy().astype(int)
    path = tiles_of(adata, features(zone, 4.0), tmp_path / "net.h5ad")
    table = domains_of(adata, written, tmp_path, net=path)
    assert list(table) == ["pca", "spatial", "net", "net+expression"]
    assert not table.isna().any().any()
    for column in ("net", "net+expression"):
        assert adjusted_rand_score(zone, table[column]) > 0.95, column
    assert table.attrs["tissuemake"]["encoders"] == ["net"]
    again = domains_of(adata, written, tmp_path, net=path)
    pd.testing.assert_frame_equal(table, again)


def test_without_encoders_nothing_changes(zoned, written, tmp_path):
    adata = zoned()
    zone = adata.obs["zone"].to_numpy().astype(int)
    path = tiles_of(adata, features(zone, 4.0), tmp_path / "net.h5ad")
    plain = domains_of(adata, written, tmp_path)
    assert list(plain) == ["pca", "spatial"]
    pd.testing.assert_frame_equal(plain, domains_of(adata, written, tmp_path, net=path)[["pca", "spatial"]])


def test_a_spot_without_a_tile_has_no_image_domain(zoned, written, tmp_path):
    adata = zoned()
    zone = adata.obs["zone"].to_numpy().astype(int)
    vectors = features(zone, 4.0)
    vectors[7, 2] = np.nan
    path = tiles_of(adata[:-5], vectors[:-5], tmp_path / "net.h5ad")
    table = domains_of(adata, written, tmp_path, net=path)
    bare = [adata.obs_names[7], *adata.obs_names[-5:]]
    for column in ("net", "net+expression"):
        assert list(table.index[table[column].isna()]) == bare
        assert set(table[column].dropna()) >= {"1", "2"}
    assert not table[["pca", "spatial"]].isna().any().any()


@pytest.mark.parametrize("kind", ["grid", "none"])
def test_bins_and_cells_get_no_image_columns(zoned, written, tmp_path, kind):
    adata = zoned(columns=8, rows=6, observation="cell")
    zone = adata.obs["zone"].to_numpy().astype(int)
    path = tiles_of(adata, features(zone, 4.0), tmp_path / "net.h5ad", kind="grid")
    if kind == "none":
        empty = ad.read_h5ad(path)[:0].copy()
        write_anndata(empty, path, EMBEDDINGS)
    assert list(domains_of(adata, written, tmp_path, net=path)) == ["pca", "spatial"]


def test_vectors_are_joined_by_barcode(zoned, tmp_path):
    adata = zoned(columns=4, rows=3)
    vectors = np.arange(24.0).reshape(12, 2)
    path = tiles_of(adata, vectors, tmp_path / "net.h5ad")
    wanted = adata.obs_names[[5, 2]].append(pd.Index(["nobody", "g0_0"]))
    found, seen = read_tile_vectors(path, wanted)
    np.testing.assert_array_equal(found, vectors[[5, 2]])
    assert seen.tolist() == [True, True, False, False]


def test_units_of_a_feature_do_not_matter():
    values = features(np.arange(40) % 2, 1.0)
    one, other = (image_embedding(block.astype(np.float32)) for block in (values, values * np.arange(1, 21)))
    np.testing.assert_allclose(np.abs(one), np.abs(other), atol=1e-3)
    assert one.shape == (40, 15)
    assert image_embedding(np.ones((5, 3), np.float32)).shape == (5, 1)


def test_blocks_are_as_loud_as_each_other():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(50, 15)) * 100, rng.normal(size=(50, 3))
    joined = join_blocks(left, right)
    total = joined.var(axis=0)
    assert total[:15].sum() == pytest.approx(total[15:].sum()) == pytest.approx(1)
    assert np.isfinite(join_blocks(left * 0, right)).all()
