"""Read the truth and the labels that a sheet names, and join them to spots by barcode."""

import logging
import re
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.contracts import UNKNOWN, type_columns
from tissuemake.delimited import read_by_barcode
from tissuemake.errors import InputError
from tissuemake.hierarchy import stated_hierarchy
from tissuemake.labels import is_named, label_text

log = logging.getLogger(__name__)

OBS = "obs:"


def read_truth(path: str | Path, barcodes: pd.Index) -> pd.DataFrame:
    """Composition by barcode (spots, types), rows sum to 1; spots without any cell are left out.

    Parameters
    ----------
    path
        csv or tsv (``.gz`` too): first column barcode, the others counts or proportions of a type each.
    barcodes
        The spots that are scored.
    """
    table = _read(path, "truth")
    numbers = table.apply(pd.to_numeric, errors="coerce")
    bad = [column for column in table if numbers[column].isna().any() or (numbers[column] < 0).any()]
    if bad:
        raise InputError(
            "bad_truth",
            f"{path}: column '{bad[0]}' holds values that are no counts or proportions.",
            "The truth has the barcode first, and a column of non-negative numbers for each cell type.",
        )
    numbers = _joined(numbers, barcodes, path, "truth")
    total = numbers.sum(axis=1)
    return numbers[total > 0].div(total[total > 0], axis=0)


def read_labels(cell: str, filtered: ad.AnnData, source_path: str = "") -> pd.Series:
    """Region or layer by barcode, without the spots that have none.

    Parameters
    ----------
    cell
        A table with the barcode first and a column ``label`` (or just one other), or ``obs:COLUMN``: that
        column of the sample's own h5ad.
    source_path
        The sample's h5ad, read where the filtered sample no longer has the column.
    """
    if cell.startswith(OBS):
        column = cell.removeprefix(OBS)
        labels = _obs_column(column, filtered, source_path)
    else:
        table = _read(cell, "labels")
        if "label" not in table and table.shape[1] != 1:
            raise InputError(
                "missing_label_column",
                f"{cell}: no column 'label' among {', '.join(map(str, table.columns))}.",
                "Name the column of labels 'label'.",
            )
        labels = table["label"] if "label" in table else table.iloc[:, 0]
    labels = _joined(labels, filtered.obs_names, cell, "labels")
    return label_text(labels)[is_named(labels)]


def _obs_column(column: str, filtered: ad.AnnData, source_path: str) -> pd.Series:
    if column in filtered.obs:
        return filtered.obs[column]
    if source_path and Path(source_path).suffix == ".h5ad" and Path(source_path).exists():
        obs = ad.read_h5ad(source_path, backed="r").obs
        if column in obs:
            return obs[column]
    raise InputError(
        "missing_label_column",
        f"labels 'obs:{column}': the sample has no such column in obs.",
        f"Columns are: {', '.join(map(str, filtered.obs.columns))}. Correct the sheet.",
    )


def match_types(truth: pd.DataFrame, found: list[str]) -> pd.DataFrame:
    """Give the truth's types the names of `found` where they differ only in case or punctuation.

    ``T-cells`` is ``T cells``. Types that still have no partner are logged: they score 0.
    """
    plain = {_plain(name): name for name in found}
    renamed = {
        name: plain[_plain(name)]
        for name in truth
        if name not in found and _plain(name) in plain and plain[_plain(name)] not in truth
    }
    truth = truth.rename(columns=renamed)
    missing = [name for name in truth if name not in found]
    if missing:
        log.warning("Types of the truth that the reference does not have, and that score 0: %s", missing)
    extra = [name for name in found if name not in truth]
    if extra:
        log.warning("Types of the reference that the truth does not know: %s", extra)
    return truth


def level_of_truth(truth: pd.DataFrame, proportions: pd.DataFrame) -> str:
    """The coarser level whose names the truth's types bear, empty where they bear the fine ones.

    Names are compared as `match_types` does. A level is chosen only if it knows more of the truth's types than
    the fine types do, and than any finer level does: where both know them, the finer answer says more.
    """
    fine = [name for name in type_columns(proportions) if name != UNKNOWN]
    levels = {"": fine, **dict(reversed(stated_hierarchy(proportions).items()))}
    asked = {_plain(name) for name in truth} - {UNKNOWN}
    known = {
        level: len(asked & {_plain(name) for name in (types if level == "" else types.values())})
        for level, types in levels.items()
    }
    return max(known, key=known.__getitem__)


def without_unknown(truth: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series | None]:
    """The types of `truth`, summing to 1 again, and its ``unknown`` share, None where it has no such column.

    Spots that are unknown altogether have no composition of types, and are left out of the first.
    """
    columns = [name for name in truth if _plain(name) == UNKNOWN]
    if not columns:
        return truth, None
    types = truth.drop(columns=columns)
    total = types.sum(axis=1)
    return types[total > 0].div(total[total > 0], axis=0), truth[columns].sum(axis=1)


def _plain(name: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _read(path: str | Path, what: str) -> pd.DataFrame:
    try:
        # Labels stay text: where one is missing, numbers would become 3.0.
        table = read_by_barcode(path)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            f"unreadable_{what}",
            f"The {what} table {path} cannot be read ({error}).",
            "Give a csv or tsv whose first column is the barcode.",
        ) from error
    table = table[~table.reset_index().duplicated().to_numpy()]
    twice = table.index[table.index.duplicated()]
    if len(twice):
        raise InputError(
            f"bad_{what}",
            f"{path}: barcode '{twice[0]}' stands more than once, with different values.",
            "Leave one row for each barcode.",
        )
    return table


def _joined(table, barcodes: pd.Index, path: str | Path, what: str):
    table.index = table.index.astype(str)
    shared = barcodes[barcodes.isin(table.index)]
    if shared.empty:
        raise InputError(
            f"{what}_does_not_match",
            f"{path}: none of its barcodes (first: '{table.index[0] if len(table) else ''}') is a spot of the "
            f"sample (first: '{barcodes[0] if len(barcodes) else ''}').",
            "Its first column must hold the sample's barcodes.",
        )
    return table.loc[shared]


def as_array(table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Columns in this order, those that are missing as zeros."""
    return table.reindex(columns=columns, fill_value=0.0).to_numpy(np.float64)
