"""Ligand-receptor pairs whose genes are expressed side by side, by liana's bivariate scores."""

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.stats import false_discovery_control, norm

from tissuemake.contracts import LIGAND_RECEPTOR
from tissuemake.genes import guess_organism

# liana carries these tables inside its package.
RESOURCES = {"human": "consensus", "mouse": "mouseconsensus"}
# Local scores are dense (observations x pairs): pairs go through in blocks of at most this many values.
VALUES_AT_ONCE = 20_000_000
LEAST_EXPRESSED = 0.05
SUBUNITS = "_"


def ligand_receptor_scores(adata: ad.AnnData, contacts: sp.csr_matrix) -> pd.DataFrame:
    """Score every ligand-receptor pair of liana's consensus resource that the panel measures.

    Parameters
    ----------
    adata
        Log-normalised ``X`` (n, n_genes), symbols as names; ``uns["tissuemake"]["organism"]``.
    contacts
        (n, n) 0/1 matrix of neighbours. A spot or bin, which holds several cells, also counts as its own
        neighbour; a cell does not.

    Returns
    -------
    pandas.DataFrame
        A row per pair whose genes (of a complex: all subunits) are in the panel and each seen in 5% of the
        observations, best first. ``score``: mean over observations of the local weighted cosine similarity,
        0 to 1. ``morans_i``: global bivariate Moran's R; ``pvalue``: its one-sided analytical p-value
        (SpatialDM, Li et al., Nature Communications 2023); ``pvalue_fdr``: Benjamini-Hochberg. No rows when
        no pair qualifies or there are no contacts.
    """
    pairs = measured_pairs(adata)
    if pairs.empty or contacts.nnz == 0 or adata.n_obs < 3:
        return _table(pd.DataFrame())
    is_cell = adata.uns["tissuemake"].get("observation") == "cell"
    weights = contacts if is_cell else contacts + sp.identity(contacts.shape[0], format="csr")
    panel = _panel(adata, pairs, sp.csr_matrix(weights, dtype=np.float32))
    block = max(1, VALUES_AT_ONCE // adata.n_obs)
    scored = [_score(panel, pairs.iloc[start : start + block]) for start in range(0, len(pairs), block)]
    table = pd.concat([part for part in scored if part is not None] or [pd.DataFrame()])
    if len(table):
        table["pvalue"] = norm.sf(table["morans"] / moran_deviation(panel.obsp["spatial_connectivities"]))
        table["pvalue_fdr"] = false_discovery_control(table["pvalue"])
        table = table.rename(columns={"mean": "score", "morans": "morans_i"})
        table = table.sort_values("morans_i", ascending=False, kind="stable")
    return _table(table)


def measured_pairs(adata: ad.AnnData) -> pd.DataFrame:
    """Return ligand and receptor of the pairs whose genes are measured and expressed often enough."""
    import liana

    organism = str(adata.uns["tissuemake"].get("organism", ""))
    resource = RESOURCES.get(organism or guess_organism(adata.var_names, adata.var["gene_id"]))
    if resource is None:
        return pd.DataFrame({"ligand": [], "receptor": []})
    pairs = liana.rs.select_resource(resource).drop_duplicates(["ligand", "receptor"])
    often = np.asarray((adata.X > 0).mean(axis=0)).ravel() >= LEAST_EXPRESSED
    expressed = set(adata.var_names[often])
    complete = [
        expressed.issuperset(ligand.split(SUBUNITS) + receptor.split(SUBUNITS)) and ligand != receptor
        for ligand, receptor in zip(pairs["ligand"], pairs["receptor"], strict=True)
    ]
    return pairs.loc[complete, ["ligand", "receptor"]].reset_index(drop=True)


def moran_deviation(weights: sp.csr_matrix) -> float:
    """Return the standard deviation of bivariate Moran's R under no association.

    liana computes the same from a dense matrix, which 20,000 cells do not allow.
    """
    n = weights.shape[0]
    scaled = weights.astype(float) * (n / weights.sum())
    rows, columns = np.asarray(scaled.sum(axis=1)).ravel(), np.asarray(scaled.sum(axis=0)).ravel()
    numerator = n**2 * scaled.power(2).sum() - 2 * n * (columns @ rows) + scaled.sum() ** 2
    return float(np.sqrt(max(numerator, 0.0)) / (n * (n - 1)))


def _panel(adata: ad.AnnData, pairs: pd.DataFrame, weights: sp.csr_matrix) -> ad.AnnData:
    genes = sorted({gene for name in pairs.to_numpy().ravel() for gene in name.split(SUBUNITS)})
    part = adata[:, genes]
    return ad.AnnData(
        sp.csr_matrix(part.X, dtype=np.float32),
        obs=pd.DataFrame(index=adata.obs_names),
        var=part.var[["gene_id"]].copy(),
        obsp={"spatial_connectivities": weights},
    )


def _score(panel: ad.AnnData, pairs: pd.DataFrame) -> pd.DataFrame | None:
    import liana

    complexes = pairs.apply(lambda column: column.str.contains(SUBUNITS)).to_numpy().any()
    try:
        scored = liana.mt.bivariate(
            panel.copy(),
            local_name="cosine",
            global_name="morans",
            resource=pairs,
            complex_sep=SUBUNITS if complexes else None,
            nz_prop=LEAST_EXPRESSED,
            n_perms=None,
            use_raw=False,
            verbose=False,
        )
    except ValueError as error:
        # A complex is as rare as its rarest co-occurrence: all pairs of a block may fall away.
        if "No features" in str(error):
            return None
        raise
    return scored.var[["ligand", "receptor", "mean", "morans"]]


def _table(scored: pd.DataFrame) -> pd.DataFrame:
    table = scored.reindex(columns=[*LIGAND_RECEPTOR.columns, "pvalue_fdr"]).reset_index(drop=True)
    numbers = table.columns.drop(["ligand", "receptor"])
    return table.astype({"ligand": str, "receptor": str} | dict.fromkeys(numbers, float))
