"""A mouse sample with a human atlas, file to file as the rules call the stages; and a real atlas carried over."""

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tissuemake.contracts import PROPORTIONS, read_table
from tissuemake.deconvolution import deconvolve
from tissuemake.files import read_json
from tissuemake.ingest import ingest_sample
from tissuemake.quality.check import check_sample
from tissuemake.quality.check_reference import check_reference
from tissuemake.quality.filter import filter_spots
from tissuemake.reference.atlas import prepare_reference
from tissuemake.sheets import Reference, Sample, target_organism
from whole_folders import GENES, SIDE, genes, visium

TYPES = ("B cell", "T cell")
WITHOUT_ORTHOLOG = 10


def profiles() -> np.ndarray:
    """Mean counts (types, genes): either type is high in one half of the genes."""
    low = np.full((2, GENES), 2.0)
    low[0, ::2] = low[1, 1::2] = 30.0
    return low


@pytest.fixture
def rows(tmp_path):
    """Rows of a mouse section whose left half is B cells, and of a human atlas; the table between them."""
    rng = np.random.default_rng(0)
    kinds = np.repeat([0, 1], 30)
    atlas = ad.AnnData(
        sp.csr_matrix(rng.poisson(profiles()[kinds]).astype(np.float32)),
        obs=pd.DataFrame({"cell_type": np.array(TYPES)[kinds]}, index=[f"cell{i}" for i in range(60)]),
        var=genes("human").set_index("name").rename(columns={"id": "gene_id"}),
    )
    atlas.write_h5ad(tmp_path / "atlas.h5ad")
    left = np.arange(SIDE * SIDE) % SIDE < SIDE / 2
    spots = rng.poisson(profiles()[(~left).astype(int)]).astype(np.float32)
    row = visium(tmp_path / "s", "mouse", matrix=spots)
    sample = Sample(**{**row, "mpp": float(row["mpp"]), "reference": "atlas"})
    table = tmp_path / "orthologs.csv"
    pairs = pd.DataFrame({"mouse": genes("mouse")["name"], "human": genes("human")["name"]})
    pairs.iloc[WITHOUT_ORTHOLOG:].to_csv(table, index=False)
    return sample, Reference("atlas", str(tmp_path / "atlas.h5ad"), "cell_type", "human"), table, left


def test_a_mouse_sample_gets_proportions_from_a_human_atlas(rows, tmp_path):
    sample, reference, table, left = rows
    organism = target_organism(reference, [sample])
    assert organism == "mouse"
    check_reference(reference, tmp_path / "reference.json")
    check_sample(
        sample,
        tmp_path / "check.json",
        reference=reference,
        reference_check=tmp_path / "reference.json",
        organism=organism,
        orthologs=table,
    )
    found = read_json(tmp_path / "check.json")
    assert found["status"] == "pass", found["findings"]
    assert found["facts"]["gene_overlap"] == GENES - WITHOUT_ORTHOLOG

    ingest_sample(sample, tmp_path / "ingested.h5ad")
    filter_spots(tmp_path / "ingested.h5ad", tmp_path / "filtered.h5ad", overrides={"local_outlier_mads": 0})
    files = [tmp_path / name for name in ("reference.h5ad", "signatures.parquet", "markers.parquet")]
    prepare_reference(reference, *files, organism=organism, orthologs=table)
    deconvolve("nnls", tmp_path / "filtered.h5ad", *files, tmp_path / "nnls.parquet", seed=0)
    shares = read_table(tmp_path / "nnls.parquet", PROPORTIONS)
    assert len(shares) == SIDE * SIDE
    names = ad.read_h5ad(tmp_path / "ingested.h5ad").obs_names
    truth = pd.Series(left.astype(float), index=names)
    assert (shares["B cell"] - truth.loc[shares.index]).abs().max() < 0.1


@pytest.mark.real
def test_a_real_human_atlas_keeps_most_of_its_counts_as_mouse_genes(data_dir, tmp_path):
    path = data_dir / "sc_reference" / "breast_tnbc_cid4465.h5ad"
    reference = Reference("tnbc", str(path), "celltype_major", "human")
    files = [tmp_path / name for name in ("reference.h5ad", "signatures.parquet", "markers.parquet")]
    logging.disable(logging.WARNING)
    table = data_dir / "genesets" / "mouse_human_orthologs.csv"
    prepare_reference(reference, *files, organism="mouse", orthologs=table)
    logging.disable(logging.NOTSET)
    carried, whole = ad.read_h5ad(files[0]), ad.read_h5ad(path)
    assert carried.n_vars == 12701
    assert {"Epcam", "Cd3d", "Col1a1"} <= set(carried.var_names)
    assert carried.uns["tissuemake"]["organism"] == "mouse"
    counts = whole[carried.obs_names].X.sum()
    assert 0.75 < carried.X.sum() / counts < 0.9
