"""Ground floor: a person's table of orthologs, one-to-one pairs only."""

import zlib
from pathlib import Path

import pandas as pd

from tissuemake import sources
from tissuemake.delimited import read_delimited
from tissuemake.errors import InputError


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
    path = Path(table)
    if not path.is_file():
        raise InputError(
            "missing_orthologs",
            f"The table of orthologs '{path}' does not exist.",
            f"{sources.unset_variables(path)}Correct the key reference.orthologs of the config; relative "
            "paths start at the run folder.",
        )
    try:
        pairs = read_delimited(path, dtype=str, keep_default_na=False)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(
            "unreadable_orthologs",
            f"The table of orthologs {path} cannot be read ({error}).",
            f"Give a csv or tsv with the columns {source} and {target} in reference.orthologs of the config.",
        ) from error
    absent = [name for name in (source, target) if name not in pairs]
    if absent:
        raise InputError(
            "bad_orthologs",
            f"The table of orthologs {path}: column '{absent[0]}' is missing "
            f"(it has {', '.join(map(str, pairs.columns))}).",
            f"Give a table with the columns {source} and {target} in reference.orthologs of the config.",
        )
    pairs = pairs[[source, target]].apply(lambda column: column.str.strip()).drop_duplicates()
    pairs = pairs[(pairs != "").all(axis=1)]
    single = ~pairs[source].duplicated(keep=False) & ~pairs[target].duplicated(keep=False)
    return pairs[single].set_index(source)[target]
