"""Carry an atlas of one organism to the gene names of another, by one-to-one orthologs only."""

from pathlib import Path

import anndata as ad

from tissuemake.errors import InputError
from tissuemake.orthologs import read_orthologs


def to_organism(
    atlas: ad.AnnData, source: str, target: str, table: str | Path | None, where: str
) -> ad.AnnData:
    """Rename the genes of `atlas` to `target` symbols; genes without a one-to-one ortholog are dropped.

    Parameters
    ----------
    table
        csv or tsv with a column of symbols for each organism (``human``, ``mouse``).

    Raises
    ------
    InputError
        ``orthologs_missing``, ``no_orthologs``, and those of `read_orthologs`.
    """
    if not table:
        raise InputError(
            "orthologs_missing",
            f"{where} is {source}, the samples that use it are {target}, and there is no table of orthologs.",
            "Give an atlas of the same organism, or a table with the columns human and mouse in the key "
            "reference.orthologs of the config.",
        )
    renamed = read_orthologs(table, source, target)
    kept = atlas[:, atlas.var_names.isin(renamed.index)].copy()
    if kept.n_vars == 0:
        raise InputError(
            "no_orthologs",
            f"{where}: none of its genes (first: '{atlas.var_names[0]}') is a {source} symbol of {table}.",
            "Check the organism of the reference and the table of orthologs.",
        )
    kept.var_names = renamed.loc[kept.var_names].to_numpy()
    kept.var["gene_id"] = ""
    return kept
