"""Ground floor: read a person's csv or tsv; the header says which it is, not a guess from the values."""

import io
import zlib
from pathlib import Path

import pandas as pd

from tissuemake import sources
from tissuemake.errors import InputError
from tissuemake.packed import open_table


def read_delimited(path: str | Path, **options: object) -> pd.DataFrame:
    """Read a table separated by tabs, semicolons or commas, gzipped or not, in UTF-8 with or without a BOM.

    The separator is the first of tab, semicolon, comma that stands in the header: cell-type names hold commas
    and blanks, which mislead a guess from the values.

    Parameters
    ----------
    options
        Passed to ``pandas.read_csv``.

    Raises
    ------
    OSError, EOFError, ValueError
        When it cannot be read; a damaged gzip is among these, whatever zlib calls it, and one that unfolds into
        too much (`packed.open_table`).
    """
    path = Path(path)
    try:
        with io.TextIOWrapper(open_table(path), encoding="utf-8-sig") as handle:
            header = handle.readline()
        separator = next((mark for mark in "\t;," if mark in header), ",")
        with open_table(path) as handle:
            return pd.read_csv(handle, sep=separator, encoding="utf-8-sig", **options)
    except zlib.error as error:
        raise OSError(f"damaged gzip: {error}") from error


def no_formula(texts: pd.Series) -> pd.Series:
    """Text for a table that somebody opens in a spreadsheet: what it would run as a formula begins with ``'``."""
    return texts.where(~texts.astype(str).str.match(r"[=+\-@\t\r]"), "'" + texts.astype(str))


def read_columns(path: str | Path, columns: tuple[str, ...], what: str, key: str) -> pd.DataFrame:
    """Read a person's table of text that must have `columns`.

    Parameters
    ----------
    what
        The table in words, ``gene aliases``: the last word names the errors.
    key
        Where the config names the table.

    Raises
    ------
    InputError
        ``missing_…``, ``unreadable_…`` and ``bad_…``, each naming `key`.
    """
    path, name = Path(path), what.split()[-1]
    wanted = " and ".join(columns)
    if not path.is_file():
        raise InputError(
            f"missing_{name}",
            f"The table of {what} '{path}' does not exist.",
            f"{sources.unset_variables(path)}Correct the key {key} of the config; relative paths start at the run "
            "folder.",
        )
    try:
        table = read_delimited(path, dtype=str, keep_default_na=False)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            f"unreadable_{name}",
            f"The table of {what} {path} cannot be read ({error}).",
            f"Give a csv or tsv with the columns {wanted} in {key} of the config.",
        ) from error
    absent = [column for column in columns if column not in table]
    if absent:
        raise InputError(
            f"bad_{name}",
            f"The table of {what} {path}: column '{absent[0]}' is missing "
            f"(it has {', '.join(map(str, table.columns))}).",
            f"Give a table with the columns {wanted} in {key} of the config.",
        )
    return table


def read_by_barcode(path: str | Path) -> pd.DataFrame:
    """Read a table of text by its first column, which need not have a name (as R writes it).

    Barcodes stay as they are written: `index_col` of pandas would make 7 of ``007``. Errors as in `read_delimited`.
    """
    table = read_delimited(path, dtype=str)
    if isinstance(table.index, pd.RangeIndex):
        table = table.set_index(table.columns[0])
    table.index = table.index.astype(str)
    return table
