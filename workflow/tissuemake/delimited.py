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
