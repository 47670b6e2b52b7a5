"""Carry an atlas of one organism to the gene names of another, by one-to-one orthologs only."""

from pathlib import Path

import anndata as ad

from tissuemake.delimited import read_delimited
from tissuemake.errors import InputError


def to_organism(
    atlas: ad.AnnData, source: str, target: str, table: str | Path | None, where: str
) -> ad.AnnData:
    """Rename the genes of `atlas` to `target` symbols; genes without a one-to-one ortholog are dropped.

    Parameters
    ----------
    table
        csv or tsv with a column of symbols for each organism (``human``, ``mouse``).
    """
    if table is None:
        raise InputError(
            "orthologs_missing",
            f"{where} is {source}, the samples that use it are {target}, and there is no table of orthologs.",
            "Give an atlas of the same organism, or a table with the columns human and mouse in the config "
            "(orthologs).",
        )
    pairs = read_delimited(table, dtype=str)
    absent = [name for name in (source, target) if name not in pairs]
    if absent:
        raise InputError(
            "bad_orthologs",
            f"{table}: column '{absent[0]}' is missing (it has {', '.join(map(str, pairs.columns))}).",
            f"Give a table with the columns {source} and {target}.",
        )
    pairs = pairs[[source, target]].dropna().drop_duplicates()
    single = ~pairs[source].duplicated(keep=False) & ~pairs[target].duplicated(keep=False)
    renamed = pairs[single].set_index(source)[target]
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
