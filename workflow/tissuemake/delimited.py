"""Ground floor: read a person's csv or tsv; the header says which it is, not a guess from the values."""

import gzip
import zlib
from pathlib import Path

import pandas as pd


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
        When it cannot be read; a damaged gzip is among these, whatever zlib calls it.
    """
    path = Path(path)
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig") as handle:
            header = handle.readline()
        separator = next((mark for mark in "\t;," if mark in header), ",")
        return pd.read_csv(path, sep=separator, encoding="utf-8-sig", **options)
    except zlib.error as error:
        raise OSError(f"damaged gzip: {error}") from error


def read_by_barcode(path: str | Path) -> pd.DataFrame:
    """Read a table of text by its first column, which need not have a name (as R writes it).

    Barcodes stay as they are written: `index_col` of pandas would make 7 of ``007``. Errors as in `read_delimited`.
    """
    table = read_delimited(path, dtype=str)
    if isinstance(table.index, pd.RangeIndex):
        table = table.set_index(table.columns[0])
    table.index = table.index.astype(str)
    return table
