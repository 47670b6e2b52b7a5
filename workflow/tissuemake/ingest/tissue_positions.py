"""Space Ranger's tissue positions in all their dresses: csv with and without header, gzipped, parquet."""

import io
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from tissuemake.errors import InputError
from tissuemake.ingest.counts import barcode_index
from tissuemake.packed import check_parquet, open_table

COLUMNS = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")
_REMEDY = "Restore the file as Space Ranger wrote it: " + ", ".join(COLUMNS) + ", in this order."


def read_tissue_positions(path: Path, where: str) -> pd.DataFrame:
    """Return positions indexed by barcode: x, y, in_tissue, array_row, array_col.

    The pixel column is x and the pixel row is y. Whether a csv has a header is read from its first line, not
    from its name.

    Raises
    ------
    InputError
        ``bad_positions``, ``duplicate_barcodes``.
    """
    try:
        table = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except InputError:
        raise
    except (OSError, EOFError, ValueError, zlib.error) as error:  # Arrow's and pandas' errors are among them
        raise InputError("bad_positions", f"{where} cannot be read ({error}).", _REMEDY) from error
    if table.index.name == "barcode" and "barcode" not in table.columns:
        table = table.reset_index()
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise InputError(
            "bad_positions",
            f"{where} has {table.shape[1]} columns ({', '.join(map(str, table.columns))});"
            f" {', '.join(missing)} not among them.",
            _REMEDY,
        )
    numbers = table[list(COLUMNS[1:])].apply(pd.to_numeric, errors="coerce")
    _check(numbers, table["barcode"], where)
    positions = pd.DataFrame(
        {
            "x": numbers["pxl_col_in_fullres"].to_numpy(np.float64),
            "y": numbers["pxl_row_in_fullres"].to_numpy(np.float64),
            "in_tissue": numbers["in_tissue"].to_numpy(bool),
            "array_row": numbers["array_row"].to_numpy(np.int64),
            "array_col": numbers["array_col"].to_numpy(np.int64),
        },
        index=barcode_index(table["barcode"]).rename("barcode"),
    )
    if not positions.index.is_unique:
        repeated = positions.index[positions.index.duplicated()]
        raise InputError(
            "duplicate_barcodes", f"{where}: barcode '{repeated[0]}' has more than one position.", _REMEDY
        )
    return positions


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet as pq

    check_parquet(path)
    return pq.read_table(path).to_pandas(deduplicate_objects=False)  # barcodes are all different


def _read_csv(path: Path) -> pd.DataFrame:
    with io.TextIOWrapper(open_table(path), encoding="utf-8-sig") as handle:
        first = handle.readline().strip().split(",")
    has_header = any(column in first for column in COLUMNS)
    with open_table(path) as handle:
        table = pd.read_csv(handle, encoding="utf-8-sig", header=0 if has_header else None)
    if has_header:
        return table
    if table.shape[1] != len(COLUMNS):
        raise ValueError(f"{table.shape[1]} columns instead of {len(COLUMNS)}")
    return table.set_axis(list(COLUMNS), axis=1)


def _check(numbers: pd.DataFrame, barcodes: pd.Series, where: str) -> None:
    """Numbers must be numbers, flags flags, array coordinates whole: else columns are mixed up."""
    for column in numbers:
        bad = np.flatnonzero(~np.isfinite(numbers[column]))
        if len(bad):
            raise InputError(
                "bad_positions",
                f"{where}: {column} of barcode '{barcodes.iloc[bad[0]]}' is not a number"
                f" ({len(bad)} such rows); are the columns in another order?",
                _REMEDY,
            )
    flags = numbers["in_tissue"]
    if not flags.isin([0, 1]).all():
        value = flags[~flags.isin([0, 1])].iloc[0]
        raise InputError(
            "bad_positions",
            f"{where}: in_tissue is {value:g}, not 0 or 1; columns in another order?",
            _REMEDY,
        )
    for column in ("array_row", "array_col"):
        values = numbers[column]
        if (values < 0).any() or (values != np.rint(values)).any():
            value = values[(values < 0) | (values != np.rint(values))].iloc[0]
            raise InputError(
                "bad_positions",
                f"{where}: {column} is {value:g}, not a whole number from 0; columns in another order?",
                _REMEDY,
            )
