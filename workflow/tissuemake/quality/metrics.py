"""Quality values per spot: counts, genes, mitochondrial and control-probe shares."""

import anndata as ad
import numpy as np

# Feature types that measure error, not biology. Antibodies and custom panels are not among them.
CONTROL_WORDS = ("control", "blank", "unassigned")


def mitochondrial_genes(adata: ad.AnnData) -> np.ndarray:
    """Boolean per gene: transcribed in the mitochondrion (``MT-ND1`` in human, ``mt-Nd1`` in mouse)."""
    return adata.var_names.str.lower().str.startswith("mt-")


def control_counts(adata: ad.AnnData) -> np.ndarray | None:
    """Counts of negative-control features per spot, or None when the assay has none."""
    tables = [
        table
        for key, table in adata.obsm.items()
        if key.startswith("features_") and any(word in key for word in CONTROL_WORDS)
    ]
    return sum(np.asarray(table, dtype=float).sum(1) for table in tables) if tables else None


def add_metrics(adata: ad.AnnData) -> None:
    """Add the quality columns to ``adata.obs``, from raw counts in ``X`` and control tables in ``obsm``.

    ``total_counts`` and ``n_genes_by_counts`` always; ``pct_counts_mt`` only when mitochondrial genes were
    measured, ``pct_control`` only when the assay has control features: a share of nothing is not 0 %.
    """
    import scanpy as sc

    adata.var["mt"] = mitochondrial_genes(adata)
    measured_mt = bool(adata.var["mt"].any())
    sc.pp.calculate_qc_metrics(
        adata, qc_vars=["mt"] if measured_mt else [], percent_top=None, log1p=False, inplace=True
    )
    if measured_mt:
        adata.obs["pct_counts_mt"] = adata.obs["pct_counts_mt"].fillna(0)
        del adata.obs["total_counts_mt"]
    controls = control_counts(adata)
    if controls is not None:
        everything = np.maximum(controls + adata.obs["total_counts"].to_numpy(float), 1)
        adata.obs["pct_control"] = 100 * controls / everything
