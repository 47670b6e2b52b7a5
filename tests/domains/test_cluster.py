"""Domains: zones are found, better with the neighbourhood; small and odd samples do not fail."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from tissuemake.contracts import DOMAINS, SPOT_EMBEDDINGS, read_table, write_anndata
from tissuemake.domains.cluster import cluster_domains
from tissuemake.domains.clusterers import by_size
from tissuemake.errors import InputError


def domains_of(adata, written, tmp_path, **options):
    cluster_domains(written(adata), tmp_path / "domains.parquet", **options)
    return read_table(tmp_path / "domains.parquet", DOMAINS)


@pytest.mark.parametrize("lattice", ["square", "hexagonal", "none"])
def test_zones_are_found_and_the_neighborhood_helps(zoned, written, tmp_path, lattice):
    adata = zoned(lattice=lattice)
    # Keep the effect weak: one in five of the counts.
    rng = np.random.default_rng(1)
    thin = adata.layers["counts"].copy()
    thin.data = rng.binomial(thin.data.astype(int), 0.2).astype(np.float32)
    adata.layers["counts"], adata.X = thin, thin.log1p()
    table = domains_of(adata, written, tmp_path)
    ari = {column: adjusted_rand_score(adata.obs["zone"], table[column]) for column in ("pca", "spatial")}
    assert ari["spatial"] > 0.6
    assert ari["spatial"] > ari["pca"]


def test_output_has_a_label_per_spot_largest_first_and_is_reproducible(zoned, written, tmp_path):
    adata = zoned()
    table = domains_of(adata, written, tmp_path, seed=3)
    assert list(table.index) == list(adata.obs_names) and list(table.columns) == ["pca", "spatial"]
    for column in table:
        sizes = table[column].value_counts()
        assert list(sizes.sort_index(key=lambda names: names.astype(int))) == sorted(sizes, reverse=True)
    pd.testing.assert_frame_equal(table, domains_of(adata, written, tmp_path, seed=3))
    assert table.attrs["tissuemake"]["seed"] == 3
    assert table.attrs["tissuemake"]["radius_um"] == pytest.approx(180)


def test_resolution_sets_how_many(zoned, written, tmp_path):
    few = domains_of(zoned(), written, tmp_path, resolution=0.1)["pca"].nunique()
    many = domains_of(zoned(), written, tmp_path, resolution=3.0)["pca"].nunique()
    assert few < many


@pytest.mark.parametrize(
    ("columns", "rows", "n_genes"), [(1, 1, 5), (2, 1, 5), (3, 2, 5), (6, 5, 27), (4, 4, 1)]
)
def test_few_spots_or_genes_do_not_fail(zoned, written, tmp_path, columns, rows, n_genes):
    table = domains_of(zoned(columns=columns, rows=rows, n_genes=n_genes), written, tmp_path)
    assert len(table) == columns * rows and not table.isna().any().any()


def test_identical_spots_are_one_domain(wrap, written, tmp_path):
    positions = np.column_stack([np.arange(30) % 6, np.arange(30) // 6]) * 200.0
    adata = wrap(np.ones((30, 9)), positions, [f"G{i}" for i in range(9)], np.zeros(30), "square")
    assert set(domains_of(adata, written, tmp_path).to_numpy().ravel()) == {"1"}


def embedded(adata, path, vectors):
    found = ad.AnnData(vectors.astype(np.float32), obs=adata.obs[[]].copy())
    found.obsm["spatial"], found.uns["tissuemake"] = adata.obsm["spatial"], {"method": "sagefm"}
    write_anndata(found[::-1].copy(), path, SPOT_EMBEDDINGS)
    return path


def test_a_spot_embedding_gives_a_column_of_its_own_and_leaves_the_others(zoned, written, tmp_path):
    adata = zoned()
    zone = (adata.obs["zone"] == "1").to_numpy(float)
    vectors = np.random.default_rng(0).normal(0, 0.2, (adata.n_obs, 6)) + 3 * zone[:, None]
    path = embedded(adata, tmp_path / "sagefm.h5ad", vectors)
    table = domains_of(adata, written, tmp_path, spot_embeddings={"sagefm": path})
    assert adjusted_rand_score(zone, table["sagefm"]) > 0.95
    pd.testing.assert_frame_equal(
        table[["pca", "spatial"]], domains_of(adata, written, tmp_path), check_like=True
    )
    five = domains_of(adata, written, tmp_path, spot_embeddings={"sagefm": path}, domains=5)
    assert five["sagefm"].nunique() == 5


def test_an_embedding_of_other_spots_is_refused(zoned, written, tmp_path):
    adata = zoned()
    path = embedded(adata[:50].copy(), tmp_path / "sagefm.h5ad", np.ones((50, 3)))
    with pytest.raises(InputError) as refused:
        domains_of(adata, written, tmp_path, spot_embeddings={"sagefm": path})
    assert refused.value.code == "other_spots"


def test_labels_are_ordered_by_size():
    assert by_size(np.array(["x", "y", "y", "z", "y", "z"])).tolist() == ["3", "1", "1", "2", "1", "2"]


@pytest.mark.real
def test_dlpfc_layers_are_found_better_than_chance_and_than_expression_alone(
    data_dir, wrap, written, tmp_path
):
    source = ad.read_h5ad(data_dir / "visium_dlpfc" / "dlpfc_151673.h5ad")
    pixels = source.obsm["spatial"] / np.ptp(source.obs["array_row"]) * 1.0
    pitch = np.median(np.sort(np.linalg.norm(pixels[:500, None] - pixels[None, :], axis=2), axis=1)[:, 1])
    adata = wrap(source.X, pixels * 200 / pitch, source.var_names, source.obs["layer"], "hexagonal")
    table = domains_of(adata, written, tmp_path)
    known = (adata.obs["zone"] != "unlabelled").to_numpy()
    ari = {name: adjusted_rand_score(adata.obs["zone"][known], table[name][known]) for name in table}
    assert ari["spatial"] > 0.4 and ari["spatial"] > ari["pca"]
