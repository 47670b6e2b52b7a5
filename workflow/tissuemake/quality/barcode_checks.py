"""Do matrix, positions and the user's tables speak of the same barcodes?"""

from pathlib import Path

import h5py
import pandas as pd

from tissuemake.delimited import read_by_barcode
from tissuemake.errors import InputError
from tissuemake.ingest.base import Reader
from tissuemake.quality.verdict import Verdict
from tissuemake.sheets import Sample, nearest
from tissuemake.sources import unset_variables

# Space Ranger puts exactly the spots under tissue into the filtered matrix; a few edited by hand are fine.
MOST_OFF_TISSUE = 0.05


def check_barcodes(verdict: Verdict, reader: Reader, barcodes: pd.Index, positions: pd.DataFrame) -> None:
    """Barcodes have positions, and a filtered matrix holds the spots that positions call tissue."""
    alike = barcodes.equals(positions.index)  # of millions of bins in one order, nothing is looked up
    shared = barcodes if alike else barcodes[barcodes.isin(positions.index)]
    without = f"{len(barcodes) - len(shared)} of {len(barcodes)} barcodes have no position"
    verdict.facts["n_with_position"] = len(shared)
    if len(shared) <= len(barcodes) / 2:
        example = barcodes[~barcodes.isin(positions.index)][0] if len(barcodes) else ""
        raise InputError(
            "positions_mismatch",
            f"{reader.where(reader.row.path)}: {without}, e.g. '{example}'.",
            "Matrix and positions come from different sections; put both of one section together.",
        )
    if len(shared) < len(barcodes):
        verdict.warn(
            "barcodes_without_position",
            f"{reader.where(reader.row.path)}: {without} and are left out.",
            "Nothing to do if the data were cropped; otherwise give the whole positions file.",
        )
    inside = (positions if alike else positions.loc[shared])["in_tissue"].to_numpy(bool)
    verdict.facts["n_in_tissue"] = int(inside.sum())
    if not inside.any():
        raise InputError(
            "nothing_in_tissue",
            f"{reader.where(reader.row.path)}: none of {len(shared)} barcodes lies in tissue.",
            "Give the positions file of this section, or correct its column in_tissue.",
        )
    outside = 1 - inside.mean()
    if outside > MOST_OFF_TISSUE and "filtered" in reader.layout:
        raise InputError(
            "positions_of_another_section",
            f"{reader.where(reader.row.path)}: {outside:.0%} of the filtered matrix's {len(shared)} barcodes "
            "are off tissue by the positions file; in one section it is none.",
            "Put matrix and spatial folder of the same section together.",
        )


def check_tables(verdict: Verdict, row: Sample, barcodes: pd.Index | None) -> None:
    """Labels and truth are readable and speak of this sample's barcodes."""
    for column in ("labels", "truth"):
        cell = getattr(row, column)
        if not cell:
            continue
        with verdict.guard(f"{column} {cell}"):
            if cell.startswith("obs:"):
                _check_obs_column(row, column, cell.removeprefix("obs:"))
            else:
                _check_overlap(verdict, row, column, _read_table(row, column, Path(cell)), barcodes)


def _check_obs_column(row: Sample, column: str, name: str) -> None:
    if not row.path.endswith(".h5ad") or not h5py.is_hdf5(row.path):
        raise InputError(
            f"bad_{column}",
            f"Sample '{row.sample}': {column} is 'obs:{name}', but {row.path} is no h5ad.",
            f"Give a table with barcodes in the column {column}.",
        )
    with h5py.File(row.path) as handle:
        known = [key for key in handle["obs"] if key not in ("_index", "__categories")]
    if name not in known:
        raise InputError(
            f"bad_{column}",
            f"Sample '{row.sample}': {row.path} has no obs column '{name}'.",
            f"Did you mean 'obs:{nearest(name, known or [''])}'? Known: {', '.join(known)}.",
        )


def _read_table(row: Sample, column: str, path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(
            "missing_path",
            f"Sample '{row.sample}': {column} '{path}' does not exist.",
            f"{unset_variables(path)}Correct the column {column} of the sheet; relative paths start at the "
            "run folder.",
        )
    try:
        table = read_by_barcode(path)
    except (OSError, EOFError, ValueError, pd.errors.ParserError) as error:
        raise InputError(
            f"bad_{column}",
            f"Sample '{row.sample}': {column} {path} cannot be read ({error}).",
            "Give a table separated by tabs, semicolons or commas whose first column is the barcode.",
        ) from error
    others = list(table.columns)
    if not others or (column == "labels" and "label" not in others and len(others) > 1):
        raise InputError(
            f"bad_{column}",
            f"Sample '{row.sample}': {column} {path} has the columns "
            f"{', '.join(map(str, (table.index.name, *table.columns)))}.",
            "Give the barcode first, and then a column 'label'."
            if column == "labels"
            else "Give the barcode first, and then a column per cell type.",
        )
    return table


def _check_overlap(verdict: Verdict, row: Sample, column: str, table: pd.DataFrame, barcodes) -> None:
    if barcodes is None:
        return
    path = getattr(row, column)
    names = table[~table.reset_index().duplicated().to_numpy()].index
    if names.duplicated().any():
        raise InputError(
            f"bad_{column}",
            f"Sample '{row.sample}': barcode '{names[names.duplicated()][0]}' stands more than once in "
            f"{column} {path}, with different values.",
            "Leave one row for each barcode.",
        )
    known = barcodes.isin(names)
    verdict.facts[f"n_with_{column}"] = int(known.sum())
    if not known.any():
        raise InputError(
            f"{column}_of_another_sample",
            f"Sample '{row.sample}': none of {len(barcodes)} barcodes (e.g. '{barcodes[0]}') is in {column} "
            f"{path} (e.g. '{names[0] if len(names) else ''}').",
            f"Give the table of this sample in the column {column}; its first column must be the barcode.",
        )
    if known.mean() < 0.5:
        verdict.warn(
            f"few_{column}",
            f"Sample '{row.sample}': {known.mean():.0%} of {len(barcodes)} barcodes are in {column} {path}.",
            f"Check that the table in the column {column} belongs to this section; scores use those it has.",
        )
