"""Tables of a Xenium bundle: cells and boundaries; parquet or csv; ids of any kind as text."""

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from tissuemake.errors import InputError
from tissuemake.packed import check_parquet, open_table


def find_table(bundle: Path, name: str) -> Path | None:
    """The table `name` as parquet, csv.gz or csv, whichever is there first."""
    candidates = (bundle / f"{name}{kind}" for kind in (".parquet", ".csv.gz", ".csv"))
    return next((path for path in candidates if path.is_file()), None)


def read_table(path: Path, columns: tuple[str, ...], optional: tuple[str, ...], where: str) -> pd.DataFrame:
    """Read `columns`, and of `optional` what is there; ``cell_id`` becomes str.

    An unnamed index column, as R writes it, is left out because columns are chosen by name.

    Raises
    ------
    InputError
        ``unreadable_table``, ``missing_column``.
    """

    remedy = "Copy the file again from the instrument's output."
    try:
        is_parquet = path.suffix == ".parquet"
        present = _parquet_columns(path) if is_parquet else _read_csv(path, nrows=0).columns
        check_columns(columns, present, where)
        wanted = [*columns, *(column for column in optional if column in present)]
        if is_parquet:
            table = pd.read_parquet(path, columns=wanted)
        else:
            table = _read_csv(path, usecols=wanted, dtype={"cell_id": str}, keep_default_na=False)
    except InputError:
        raise
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError("unreadable_table", f"{where} cannot be read ({error}).", remedy) from error
    if "cell_id" in table:
        table["cell_id"] = as_text(table["cell_id"])
    return table


def _parquet_columns(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    check_parquet(path)
    return pq.read_schema(path).names


def _read_csv(path: Path, **options: object) -> pd.DataFrame:
    with open_table(path) as handle:
        return pd.read_csv(handle, **options)


def check_columns(wanted: Iterable[str], present: Iterable[str], where: str) -> None:
    """Raise ``missing_column`` where one of `wanted` is not among those `present`."""
    missing = sorted(set(wanted) - set(present))
    if missing:
        raise InputError(
            "missing_column",
            f"{where} has no column {', '.join(missing)}.",
            "Copy the file again from the instrument's output.",
        )


def as_text(values: pd.Series) -> pd.Series:
    """Ids as text, whether they came as text, bytes or numbers."""
    codes, unique = pd.factorize(values)
    names = np.array([value.decode() if isinstance(value, bytes) else str(value) for value in unique], object)
    return pd.Series(names[codes] if len(names) else [], index=values.index, dtype=object)


def polygon_centres(path: Path, where: str) -> pd.DataFrame:
    """x, y (µm) of the area centroid of each cell's polygon, by cell id."""
    table = read_table(path, ("cell_id", "vertex_x", "vertex_y"), (), where)
    x, y, cell = (table[column] for column in ("vertex_x", "vertex_y", "cell_id"))
    next_x, next_y = x.groupby(cell, sort=False).shift(-1), y.groupby(cell, sort=False).shift(-1)
    first_x, first_y = (v.groupby(cell, sort=False).transform("first") for v in (x, y))
    next_x, next_y = next_x.fillna(first_x), next_y.fillna(first_y)
    cross = (x - first_x) * (next_y - first_y) - (next_x - first_x) * (y - first_y)
    sums = pd.DataFrame(
        {
            "area": cross,
            "x": cross * (x + next_x + first_x) / 3,
            "y": cross * (y + next_y + first_y) / 3,
        }
    ).groupby(cell, sort=False)
    total = sums.sum()
    return total[["x", "y"]].div(total["area"], axis=0).dropna()
