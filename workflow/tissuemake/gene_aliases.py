"""Ground floor: former gene symbols and what they are called now, built in and from a person's table."""

from functools import lru_cache
from pathlib import Path

import pandas as pd

from tissuemake.delimited import read_columns

# Renamings by the nomenclature committees (HGNC, MGI) that atlases of different years disagree on, among them
# the families that spreadsheets turn into dates. Rows without an organism hold for both.
BUILT_IN = Path(__file__).with_name("gene_aliases.tsv")
KEY = "reference.aliases"


def read_aliases(table: str | Path | None = None, organism: str = "") -> dict[str, str]:
    """Former symbol → symbol, both in capitals: symbols of one organism never differ in case alone.

    An alias that is also somebody's symbol, or that has two symbols, could name either gene: it is left out.
    A row of `table` replaces the built-in one of the same alias.

    Parameters
    ----------
    table
        csv or tsv with the columns ``alias`` and ``symbol``, and perhaps ``organism``; empty: built-in only.
    organism
        ``human``, ``mouse``, or empty: only what holds for both.

    Raises
    ------
    InputError
        ``missing_aliases``, ``unreadable_aliases``, ``bad_aliases``, each naming the config's key.
    """
    pairs = _of_organism(_built_in(), organism)
    if table:
        given = _of_organism(_tidy(read_columns(table, ("alias", "symbol"), "gene aliases", KEY)), organism)
        pairs = pd.concat([pairs[~pairs["alias"].isin(given["alias"])], given])
    pairs = pairs.drop_duplicates(["alias", "symbol"])
    doubtful = pairs["alias"].duplicated(keep=False) | pairs["alias"].isin(pairs["symbol"])
    return dict(zip(pairs["alias"][~doubtful], pairs["symbol"][~doubtful], strict=True))


@lru_cache(maxsize=1)
def _built_in() -> pd.DataFrame:
    return _tidy(pd.read_csv(BUILT_IN, sep="\t", dtype=str, keep_default_na=False))


def _of_organism(pairs: pd.DataFrame, organism: str) -> pd.DataFrame:
    return pairs[pairs["organism"].isin(["", organism])]


def _tidy(pairs: pd.DataFrame) -> pd.DataFrame:
    pairs = pairs.reindex(columns=["alias", "symbol", "organism"], fill_value="")
    pairs = pairs.apply(lambda column: column.str.strip())
    pairs[["alias", "symbol"]] = pairs[["alias", "symbol"]].apply(lambda column: column.str.upper())
    pairs["organism"] = pairs["organism"].str.lower()
    return pairs[(pairs["alias"] != "") & (pairs["symbol"] != "") & (pairs["alias"] != pairs["symbol"])]
