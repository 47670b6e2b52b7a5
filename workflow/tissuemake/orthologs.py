"""Ground floor: a person's table of orthologs, one-to-one pairs only."""

from pathlib import Path

import pandas as pd

from tissuemake.delimited import read_columns


def read_orthologs(table: str | Path, source: str, target: str) -> pd.Series:
    """Read the one-to-one pairs of `table`.

    Parameters
    ----------
    table
        csv or tsv with a column of gene symbols for each organism (``human``, ``mouse``), a row per pair.
    source, target
        Names of the columns to map from and to.

    Returns
    -------
    pandas.Series
        Index: symbols of `source`; values: symbols of `target`; both unique. A gene with several orthologs
        on either side is left out: its counts belong to none of them alone.

    Raises
    ------
    InputError
        ``missing_orthologs``, ``unreadable_orthologs``, ``bad_orthologs``, each naming the config's key.
    """
    pairs = read_columns(table, (source, target), "orthologs", "reference.orthologs")
    pairs = pairs[[source, target]].apply(lambda column: column.str.strip()).drop_duplicates()
    pairs = pairs[(pairs != "").all(axis=1)]
    single = ~pairs[source].duplicated(keep=False) & ~pairs[target].duplicated(keep=False)
    return pairs[single].set_index(source)[target]
