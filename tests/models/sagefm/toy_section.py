"""A toy section in which a smooth field and a private state of every spot drive the genes."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.contracts import FILTERED, write_anndata
from tissuemake.models.sagefm.architecture import Architecture, Preset
from tissuemake.models.schedule import Schedule

GENES = 60
QUICK = Preset(
    Architecture(genes=GENES, loadings=6, width=32, latent=6, heads=2, dropout=0.1),
    Schedule(steps=200, learning_rate=5e-3, validate_every=100),
    batch=64,
    valid_spots=64,
)


def section(seed: int, rows: int = 16, columns: int = 16, genes: int = GENES) -> ad.AnnData:
    """Contract FILTERED; first half of the genes follow the field, the others the spot's own state."""
    rng = np.random.default_rng(seed)
    row, column = (axis.ravel() for axis in np.indices((rows, columns)))
    positions = np.column_stack([column + 0.5 * (row % 2), row * np.sqrt(3) / 2]) * 100.0
    n = len(positions)
    field = np.sin(positions[:, 0] / 400 + seed) * np.cos(positions[:, 1] / 500)
    state = rng.normal(size=n)
    # The same genes do the same in every section.
    loading = np.random.default_rng(99).normal(size=GENES)
    driver = np.where(np.arange(GENES)[None] < GENES // 2, field[:, None], state[:, None])
    rate = np.exp(2.5 + 0.7 * driver * loading) * rng.lognormal(0, 0.3, (n, 1))
    counts = sp.csr_matrix(rng.poisson(rate)[:, :genes].astype(np.float32))
    total = np.asarray(counts.sum(axis=1)).ravel()
    log_values = sp.csr_matrix(np.log1p(counts.toarray() * (1e4 / total)[:, None]).astype(np.float32))
    names = [f"G{i}" for i in range(genes)]
    adata = ad.AnnData(
        log_values,
        obs=pd.DataFrame(
            {
                "in_tissue": True,
                "total_counts": total,
                "n_genes_by_counts": np.diff(counts.indptr),
            },
            index=[f"spot{i}" for i in range(n)],
        ),
        var=pd.DataFrame({"gene_id": [f"ENSG{i}" for i in range(genes)]}, index=names),
    )
    adata.layers["counts"] = counts
    adata.obsm["spatial"] = positions
    adata.uns = {
        "spatial": {"toy": {"images": {}, "scalefactors": {"microns_per_pixel": 1.0}}},
        "tissuemake": {
            "sample": "toy",
            "donor": f"donor {seed}",
            "lattice": "hexagonal",
            "pitch_um": 100.0,
            "observation": "spot",
        },
        "dropped": pd.DataFrame({"reason": []}),
    }
    return adata


def written(folder: Path, name: str, adata: ad.AnnData) -> Path:
    """Path of `adata` as ``filtered.h5ad`` of a sample."""
    path = folder / name / "filtered.h5ad"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_anndata(adata, path, FILTERED)
    return path
