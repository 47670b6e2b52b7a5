"""Counts of any h5ad: found where they are, genes named, and what holds none is refused."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tissuemake.contracts import FILTERED, write_anndata
from tissuemake.errors import InputError
from tissuemake.raw_counts import read_spots

COUNTS = np.array([[1, 2, 0, 5], [0, 3, 4, 1], [7, 0, 0, 2]], dtype=np.float32)
IDS = [f"ENSG0000000000{i}" for i in range(4)]


def spots(matrix=COUNTS, names=("A", "B", "C", "D"), **columns) -> ad.AnnData:
    adata = ad.AnnData(
        sp.csr_matrix(matrix),
        obs=pd.DataFrame(index=[f"s{i}" for i in range(3)]),
        var=pd.DataFrame(columns, index=pd.Index(names)),
    )
    adata.obsm["spatial"] = np.arange(6.0).reshape(3, 2)
    return adata


def read(adata: ad.AnnData, tmp_path) -> ad.AnnData:
    adata.write_h5ad(tmp_path / "x.h5ad")
    return read_spots(tmp_path / "x.h5ad")


def test_our_filtered_sample_gives_its_counts_and_genes(tmp_path):
    adata = spots(np.log1p(COUNTS), gene_id=IDS)
    adata.layers["counts"] = sp.csr_matrix(COUNTS)
    adata.obs = pd.DataFrame(
        {"in_tissue": True, "total_counts": 1.0, "n_genes_by_counts": 1}, index=adata.obs_names
    )
    adata.uns = {"spatial": {}, "tissuemake": {"organism": "human"}, "dropped": pd.DataFrame()}
    write_anndata(adata, tmp_path / "filtered.h5ad", FILTERED)
    found = read_spots(tmp_path / "filtered.h5ad")
    assert (found.X.toarray() == COUNTS).all() and found.X.format == "csr" and found.X.dtype == np.float32
    assert list(found.var_names) == list("ABCD") and list(found.var["gene_id"]) == IDS
    assert found.uns["tissuemake"]["organism"] == "human" and found.obsm["spatial"].shape == (3, 2)


@pytest.mark.parametrize("where", ["X", "raw", "layer"])
def test_a_plain_anndata_gives_its_counts_wherever_they_are(tmp_path, where):
    adata = spots()
    if where == "raw":
        adata.raw = adata.copy()
    if where == "layer":
        adata.layers["counts"] = adata.X.copy()
    if where != "X":
        adata.X = adata.X.log1p()
    assert (read(adata, tmp_path).X.toarray() == COUNTS).all()


def test_ids_as_names_and_repeated_genes_become_one_column_per_gene(tmp_path):
    found = read(
        spots(names=[IDS[0] + ".4", IDS[1], IDS[2], IDS[2] + ".1"], feature_name=list("ABCC")), tmp_path
    )
    assert list(found.var_names) == list("ABC") and list(found.var["gene_id"]) == IDS[:3]
    assert (found.X.toarray()[:, 2] == COUNTS[:, 2:].sum(axis=1)).all()


def test_normalised_values_missing_files_and_double_barcodes_are_refused(tmp_path):
    twice = spots()
    twice.obs_names = ["a", "a", "b"]
    for adata, code in ((spots(np.log1p(COUNTS)), "not_counts"), (twice, "duplicate_barcodes")):
        with pytest.raises(InputError) as caught:
            read(adata, tmp_path)
        assert caught.value.code == code and "x.h5ad" in caught.value.message
    (tmp_path / "y.h5ad").write_bytes(b"not hdf5")
    for name in ("y.h5ad", "nowhere.h5ad"):
        with pytest.raises(InputError) as caught:
            read_spots(tmp_path / name)
        assert caught.value.code == "unreadable_h5ad" and name in caught.value.message
