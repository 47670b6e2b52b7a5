"""A small filtered sample whose zones, patterns and ligand-receptor pairs are known."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tissuemake.contracts import FILTERED, write_anndata

# A ligand and its receptor of liana's consensus resource, and one pair that the zones keep apart.
NAMED = ["CXCL12", "CXCR4", "TGFB1", "CD44"]


def zoned_sample(
    columns=20, rows=16, n_genes=120, lattice="square", observation="spot", seed=0
) -> ad.AnnData:
    """Two stripes, left and right, 100 µm pitch at 0.5 µm per pixel; half the genes prefer one stripe."""
    rng = np.random.default_rng(seed)
    y, x = (grid.ravel() for grid in np.indices((rows, columns)))
    zone = (x >= columns // 2).astype(int)
    shift = 0.5 * (y % 2) if lattice == "hexagonal" else 0.0
    positions = np.column_stack([(x + shift) * 100, y * (86.6 if lattice == "hexagonal" else 100)])
    if lattice == "none":
        positions = positions + rng.normal(0, 20, positions.shape)
    mean = rng.gamma(2.0, 1.0, n_genes)
    effect = np.where(np.arange(n_genes) % 2 == 0, np.exp(rng.normal(0, 0.5, n_genes)), 1.0)
    counts = rng.poisson(np.where(zone[:, None] == 1, mean * effect, mean)).astype(np.float32)
    names = [f"GENE{i}" for i in range(n_genes)]
    if n_genes >= len(NAMED):
        names[: len(NAMED)] = NAMED
        counts[:, 0] = counts[:, 1] = rng.poisson(np.where(zone == 1, 8, 0.5))
        counts[:, 2] = rng.poisson(np.where(zone == 1, 6, 0.5))
        counts[:, 3] = rng.poisson(np.where(zone == 0, 6, 0.5))
    return filtered_sample(counts, positions / 0.5, names, zone, lattice, observation)


def filtered_sample(counts, pixels, names, zone, lattice="none", observation="spot", organism="human"):
    """Wrap counts and positions as `filter_spots` writes them."""
    counts = sp.csr_matrix(counts, dtype=np.float32)
    totals = np.asarray(counts.sum(axis=1)).ravel()
    log_counts = sp.csr_matrix(sp.diags(1e4 / np.maximum(totals, 1)) @ counts).astype(np.float32)
    log_counts.data = np.log1p(log_counts.data)
    obs = pd.DataFrame(
        {
            "in_tissue": True,
            "total_counts": totals,
            "n_genes_by_counts": counts.getnnz(axis=1),
            "zone": np.asarray(zone).astype(str),
        },
        index=[f"spot{i}" for i in range(len(totals))],
    )
    adata = ad.AnnData(log_counts, obs=obs, var=pd.DataFrame({"gene_id": ""}, index=names))
    adata.layers["counts"] = counts
    adata.obsm["spatial"] = np.asarray(pixels, float)
    adata.uns["spatial"] = {"s": {"images": {}, "scalefactors": {"microns_per_pixel": 0.5}, "metadata": {}}}
    adata.uns["tissuemake"] = {
        "sample": "s",
        "lattice": lattice,
        "pitch_um": 0.0 if lattice == "none" else 100.0,
        "observation": observation,
        "organism": organism,
    }
    adata.uns["dropped"] = pd.DataFrame({"reason": [], "x": [], "y": [], "total_counts": []})
    return adata


@pytest.fixture
def zoned():
    """The builder of a sample with two zones."""
    return zoned_sample


@pytest.fixture
def wrap():
    """The builder of a filtered sample from counts and positions."""
    return filtered_sample


@pytest.fixture
def written(tmp_path):
    """Write a sample as ``filtered.h5ad`` and return its path."""

    def write(adata):
        write_anndata(adata, tmp_path / "filtered.h5ad", FILTERED)
        return tmp_path / "filtered.h5ad"

    return write
