"""Of several methods' predictions the one that is better, gene by gene."""

import math
from collections.abc import Mapping
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.contracts import IMPUTED, read_anndata, write_anndata
from tissuemake.errors import InputError
from tissuemake.evaluation.held_out import most_genes
from tissuemake.provenance import measured

METHOD = "combined"
# Standard errors of a correlation by which another method must be ahead before a gene changes over.
MARGIN = 2.0
SCORES = ["held_out_r", "held_out_r_depth_adjusted"]


def combine_imputed(imputed: Mapping[str, Path], output: Path) -> None:
    """Write contract IMPUTED: each gene as the method says it that was better at it in this sample.

    Parameters
    ----------
    imputed
        Method → its file of this sample; of methods that are level the first counts.

    Raises
    ------
    InputError
        ``nothing_to_combine``.
    """
    with measured(METHOD, methods=list(imputed)) as record:
        read = {method: read_anndata(path, IMPUTED) for method, path in imputed.items()}
        said = {method: data for method, data in read.items() if data.n_vars}
        if not said:
            raise InputError(
                "nothing_to_combine",
                f"No method has predicted a gene ({', '.join(imputed) or 'none was asked'}).",
                "Name other methods in imputation.methods, or leave 'combined' out.",
            )
        spots = next(iter(said.values())).obs_names
        chosen = choose({method: data.var for method, data in said.items()}, len(spots))
        record["genes"] = chosen["method"].value_counts().to_dict()
        record["n_held_out"] = int(chosen["held_out_r"].notna().sum())
    values = np.empty((len(spots), len(chosen)), np.float32)
    for method, data in said.items():
        own = (chosen["method"] == method).to_numpy()
        values[:, own] = data[spots, chosen.index[own]].X
    first = next(iter(said.values()))
    combined = ad.AnnData(values, obs=first.obs[["total_counts"]].copy(), var=chosen)
    combined.obsm["spatial"] = np.asarray(first.obsm["spatial"])
    combined.uns["tissuemake"] = record
    write_anndata(combined, output, IMPUTED)


def choose(said: Mapping[str, pd.DataFrame], n_spots: int) -> pd.DataFrame:
    """Return the `var` of the combination: for each gene the row of the method that says it, and its name.

    The usual method of a sample is the one with the highest median ``held_out_r`` over genes that all scored methods
    have. A gene changes over to another one only where that one's own score is ahead by more than two standard
    errors (1 / sqrt(spots)): the best of several noisy scores would be flattered. Genes without a score are said by
    the usual method, or else by the next that has them; one that was never scored here (of a donor that it learnt
    from) comes last.

    Parameters
    ----------
    said
        Method → `var` of its file: index gene; gene_id, measured, held_out_r, held_out_r_depth_adjusted.
    n_spots
        Over which scores were computed.
    """
    order = _ranked(said)
    genes = pd.Index(dict.fromkeys(gene for method in order for gene in said[method].index))
    scores = pd.DataFrame({method: said[method]["held_out_r"].reindex(genes) for method in order})
    there = pd.DataFrame({method: genes.isin(said[method].index) for method in order}, index=genes)
    usual = there.idxmax(axis=1)
    own = scores.to_numpy()[np.arange(len(genes)), scores.columns.get_indexer(usual)]
    best = scores.fillna(-np.inf).idxmax(axis=1)
    ahead = scores.max(axis=1) > np.nan_to_num(own, nan=-np.inf) + MARGIN / math.sqrt(max(n_spots, 1))
    method = usual.where(~ahead, best)
    kept = _kept(scores, there, n_spots)
    columns = ["gene_id", "measured", *SCORES]
    rows = [said[name].loc[method.index[method == name], columns].assign(method=name) for name in order]
    return pd.concat(rows).reindex(genes[kept])


def _ranked(said: Mapping[str, pd.DataFrame]) -> list[str]:
    """Methods, the best first; those without a score last, in the order given."""
    scores = pd.DataFrame({method: var["held_out_r"] for method, var in said.items()})
    scored = [method for method in said if scores[method].notna().any()]
    shared = scores[scored].dropna()
    median = (shared if len(shared) else scores[scored]).median()
    return sorted(scored, key=lambda method: -median[method]) + [m for m in said if m not in scored]


def _kept(scores: pd.DataFrame, there: pd.DataFrame, n_spots: int) -> np.ndarray:
    """Positions of the genes that are written, as few as of one method: scored ones, then those most methods say."""
    order = np.lexsort((np.arange(len(scores)), -there.sum(axis=1).to_numpy(), scores.isna().all(axis=1)))
    return np.sort(order[: max(most_genes(n_spots), int(scores.notna().any(axis=1).sum()))])
