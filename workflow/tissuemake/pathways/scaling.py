"""What the training cohort says of each gene, so that scores of any section stand on one scale.

A sample that is only analysed changes nothing here: scores that were made stay as they are.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.contracts import FILTERED, PATHWAY_SCALING, read_anndata, write_table
from tissuemake.pathways.gene_sets import matched_sets, read_gene_sets
from tissuemake.pathways.library import attribution
from tissuemake.pathways.values import KINDS, value_blocks
from tissuemake.provenance import measured

log = logging.getLogger(__name__)


def fit_scaling(
    filtered: Sequence[Path],
    gene_sets: Path,
    output: Path,
    *,
    orthologs: str | Path | None = None,
    aliases: str | Path | None = None,
) -> None:
    """Write the cohort's statistics of every gene (contract PATHWAY_SCALING).

    Parameters
    ----------
    filtered
        Sections of the contract FILTERED.
    gene_sets
        The library; refused here when the cohort measures nothing of it.

    Raises
    ------
    InputError
        Those of `read_gene_sets` and `matched_sets`.
    """
    sets = read_gene_sets(gene_sets)
    with measured("pathway_scaling", **attribution(gene_sets)) as record:
        sections = [read_anndata(path, FILTERED) for path in filtered]
        table = cohort_scaling(sections)
        organism = {str(section.uns["tissuemake"].get("organism", "")) for section in sections}
        matched_sets(
            sets,
            table,
            organism=organism.pop() if len(organism) == 1 else "",
            orthologs=orthologs,
            aliases=aliases,
        )
        record["samples"] = [str(section.uns["tissuemake"].get("sample", "")) for section in sections]
    write_table(table, output, PATHWAY_SCALING, record)


def cohort_scaling(sections: Sequence[ad.AnnData]) -> pd.DataFrame:
    """Statistics of every gene over all spots of the sections that measured it.

    Returns
    -------
    pandas.DataFrame
        Index gene; ``gene_id``; ``spots`` that measured it; ``share`` of a spot's counts; mean and SD of its log
        expression (``published_mean``, ``published_sd``) and of its residuals (``residuals_mean``, ``residuals_sd``).
    """
    genes = pd.Index(dict.fromkeys(name for section in sections for name in section.var_names))
    ids = pd.concat([section.var["gene_id"].astype(str) for section in sections])
    ids = ids[~ids.index.duplicated()].reindex(genes)
    places = [genes.get_indexer(section.var_names) for section in sections]
    spots, counts, depth = np.zeros((3, len(genes)))
    for section, place in zip(sections, places, strict=True):
        of_gene = np.asarray(section.layers["counts"].sum(axis=0), np.float64).ravel()
        spots[place] += section.n_obs
        counts[place] += of_gene
        depth[place] += of_gene.sum()
    share = counts / np.maximum(depth, 1.0)
    table = pd.DataFrame({"gene_id": ids.to_numpy(object), "spots": spots, "share": share}, index=genes)
    for kind in KINDS:
        total, square = np.zeros((2, len(genes)))
        for section, place in zip(sections, places, strict=True):
            for _, values in value_blocks(section, share[place], kind):
                total[place] += values.sum(axis=0, dtype=np.float64)
                square[place] += (values**2).sum(axis=0, dtype=np.float64)
        mean = total / spots
        table[f"{kind}_mean"] = mean
        table[f"{kind}_sd"] = np.sqrt(np.maximum(square / spots - mean**2, 0.0))
    return table
