"""Spatial statistics: genes in patterns (Moran's I), domains side by side, ligands beside receptors."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.contracts import (
    DOMAINS,
    FILTERED,
    LIGAND_RECEPTOR,
    MORAN,
    NEIGHBORHOOD,
    read_anndata,
    read_table,
    write_table,
)
from tissuemake.domains.ligand_receptor import ligand_receptor_scores
from tissuemake.domains.neighbors import contact_graph, microns
from tissuemake.errors import InputError
from tissuemake.expression import most_variable
from tissuemake.provenance import measured

PERMUTATIONS = 200
# A gene seen in fewer observations has no pattern to find.
LEAST_OBSERVATIONS = 10
# Domains that are set side by side, the largest: squidpy compiles code for each, 5 s for 30, over 90 s for 60.
MOST_DOMAINS = 30


def spatial_statistics(
    filtered: Path,
    domains: Path,
    moran: Path,
    neighborhood: Path,
    ligand_receptor: Path,
    *,
    seed: int = 0,
    n_genes: int = 1000,
) -> None:
    """Write three tables of spatial statistics over direct neighbours (see `contact_graph`).

    Parameters
    ----------
    filtered, domains
        ``filtered.h5ad`` and ``domains.parquet``, of which column ``spatial`` is used.
    moran, neighborhood, ligand_receptor
        Outputs; without rows where there is too little to compute.
    n_genes
        Moran's I is computed for this many genes of highest variance.
    """
    adata = read_anndata(filtered, FILTERED)
    labels = _labels(domains, adata)
    contacts = contact_graph(microns(adata), str(adata.uns["tissuemake"].get("lattice", "none")))
    with measured("morans_i", n_genes=n_genes) as provenance:
        table = morans_i(adata, contacts, n_genes)
    write_table(table, moran, MORAN, provenance)
    with measured("neighborhood_enrichment", seed=seed, permutations=PERMUTATIONS) as provenance:
        table = neighborhood_enrichment(labels, contacts, seed)
    write_table(table, neighborhood, NEIGHBORHOOD, provenance)
    with measured("ligand_receptor") as provenance:
        table = ligand_receptor_scores(adata, contacts)
    write_table(table, ligand_receptor, LIGAND_RECEPTOR, provenance)


def morans_i(adata: ad.AnnData, contacts: sp.csr_matrix, n_genes: int) -> pd.DataFrame:
    """Return Moran's I of the `n_genes` most variable genes: I, pval_norm, var_norm, pval_norm_fdr.

    p-values are one-sided under normality, corrected by Benjamini-Hochberg; highest I first.
    """
    import squidpy as sq

    seen = np.flatnonzero(np.asarray((adata.X > 0).sum(axis=0)).ravel() >= LEAST_OBSERVATIONS)
    genes = seen[most_variable(adata.X[:, seen], n_genes)]
    if len(genes) == 0 or contacts.nnz == 0:
        return pd.DataFrame(columns=["I", "pval_norm", "var_norm", "pval_norm_fdr"], dtype=float)
    bare = ad.AnnData(
        adata.X[:, genes],
        obs=pd.DataFrame(index=adata.obs_names),
        var=pd.DataFrame(index=adata.var_names[genes]),
        obsp={"spatial_connectivities": contacts},
    )
    table = sq.gr.spatial_autocorr(bare, mode="moran", genes=list(bare.var_names), copy=True, n_jobs=1)
    return table.rename(columns={"pval_norm_fdr_bh": "pval_norm_fdr"})


def neighborhood_enrichment(labels: pd.Series, contacts: sp.csr_matrix, seed: int) -> pd.DataFrame:
    """Return, for each ordered pair of domains, contacts counted and their z-score over permuted labels.

    The z-score is 0 where permutation changes nothing, e.g. when there is one domain only. Of more domains than
    `MOST_DOMAINS` the largest are looked at, as if the others were not there.
    """
    import squidpy as sq

    largest = labels.value_counts().index[:MOST_DOMAINS]
    inside = labels.isin(largest).to_numpy()
    if not inside.all():
        labels, contacts = labels[inside], contacts[inside][:, inside]
    names = sorted(labels.unique(), key=lambda name: (len(name), name))
    pairs = pd.MultiIndex.from_product([names, names], names=["domain_a", "domain_b"]).to_frame(index=False)
    if contacts.nnz == 0 or len(names) < 2:
        return pairs.assign(zscore=0.0, count=contacts.nnz)
    bare = ad.AnnData(
        obs=pd.DataFrame({"domain": pd.Categorical(labels, categories=names)}, index=labels.index),
        obsp={"spatial_connectivities": contacts},
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        zscore, count = sq.gr.nhood_enrichment(
            bare,
            "domain",
            n_perms=PERMUTATIONS,
            seed=seed,
            n_jobs=1,
            copy=True,
            show_progress_bar=False,
        )
    return pairs.assign(
        zscore=np.nan_to_num(zscore, nan=0.0, posinf=0.0, neginf=0.0).ravel(),
        count=np.asarray(count).ravel().astype(int),
    )


def _labels(domains: Path, adata: ad.AnnData) -> pd.Series:
    table = read_table(domains, DOMAINS)
    if "spatial" not in table or not adata.obs_names.isin(table.index).all():
        raise InputError(
            "broken_contract",
            f"{domains} lacks the column 'spatial' or spots of the filtered sample.",
            "Run cluster_domains again on this filtered.h5ad.",
        )
    return table.loc[adata.obs_names, "spatial"].astype(str)
