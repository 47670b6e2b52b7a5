"""Legacy Spatial Transcriptomics (ST): a count table, a spot file and a photograph."""

import io
import zlib
from functools import cached_property
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.errors import InputError
from tissuemake.ingest.base import Reader
from tissuemake.ingest.counts import make_counts
from tissuemake.ingest.lattice import ideal_lattice, is_checkerboard
from tissuemake.packed import open_table
from tissuemake.sheets import Sample

# Spots are named by array coordinates, XxY; R puts an X before names that begin with a digit.
SPOT_NAME = r"^X?(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)$"
PITCH_1K_UM = 200.0  # 1,007 spots of 100 µm (Ståhl et al. 2016)
PITCH_2K_UM = (
    150.0  # 1,934 spots of 100 µm on every second site, nearest neighbours diagonal (Wang et al. 2024)
)


class SpatialTranscriptomicsReader(Reader):
    """A 1k or 2k array.

    The count table has spots ``XxY`` in rows and genes in columns, or the other way round. The spot file
    (ST spot detector: ``*_selection.tsv``, ``alignment_table_*.tsv``) is joined on the integer ``x``, ``y``;
    ``pixel_x``, ``pixel_y`` are pixels of the full-resolution photograph. ``new_x``, ``new_y`` are measured
    array coordinates and no join key. Without pixels positions are in µm, from the array's pitch; the sheet's
    ``mpp`` is then µm per array step. A table whose rows have no names takes the order of the spot file and
    row numbers from 0 as barcodes.
    """

    lattice = "square"
    spot_diameter_um = 100.0

    def __init__(self, row: Sample) -> None:
        super().__init__(row)
        self.table_path = Path(row.path)
        if self.table_path.is_dir():
            raise InputError(
                "unknown_layout",
                f"Sample '{row.sample}': path {row.path} is a folder; ST is read from a count table.",
                "Point the column path to the count table and the column spots to the spot file.",
            )
        self.names_spots = self._names_spots()
        self.spots = self._read_spots() if row.spots else None
        self.has_pixels = self.spots is not None and {"pixel_x", "pixel_y"} <= set(self.spots.columns)
        if row.image and not self.has_pixels:
            raise InputError(
                "missing_positions",
                f"Sample '{row.sample}': an image is given, but no spot file with pixel_x and pixel_y.",
                "Fill the column spots with the ST spot detector's file, or empty the column image.",
            )
        names = self.spots.index if self.spots is not None else self._spot_names()
        xy = array_coordinates(names, self.where(self.table_path)) if self.spots is None else self.spots
        checkerboard = is_checkerboard(xy["y"].to_numpy(), xy["x"].to_numpy())
        self.pitch_um = PITCH_2K_UM if checkerboard else PITCH_1K_UM
        if row.mpp and not self.has_pixels:
            self.pitch_um = self.spot_diameter_um = row.mpp
        self.layout = self._describe(checkerboard)

    def _describe(self, checkerboard: bool) -> str:
        array = "other" if self.row.mpp and not self.has_pixels else "2k" if checkerboard else "1k"
        places = "spot file with pixels" if self.has_pixels else "no pixels: positions in µm"
        names = "spots named" if self.names_spots else "spots in the order of the spot file"
        return f"{array} array, {self.pitch_um:g} µm pitch assumed, {names}, {places}"

    def _names_spots(self) -> bool:
        try:
            return _sniff(self.table_path)[1]
        except (OSError, EOFError, ValueError, zlib.error):
            return True  # reading the counts will say what is wrong

    def _spot_names(self) -> pd.Index:
        table = self._table
        if table is None:
            raise InputError(
                "missing_positions",
                self.where(self.table_path) + " names no spots and no spot file is given.",
                "Name the spots XxY, or fill the column spots.",
            )
        return table.index

    @cached_property
    def _table(self) -> pd.DataFrame | None:
        """Counts as a table with spots in rows; None when neither axis names spots."""
        table = self._raw_table
        for oriented in (table, table.T):
            if oriented.index.astype(str).str.match(SPOT_NAME).mean() > 0.9:
                return oriented
        return None

    @cached_property
    def _raw_table(self) -> pd.DataFrame:
        remedy = (
            "Give a table of counts with spots XxY in rows and genes in columns, separated by tabs or commas."
        )
        try:
            separator, names_rows = _sniff(self.table_path)
            with open_table(self.table_path) as handle:
                table = pd.read_csv(handle, sep=separator, index_col=0 if names_rows else False)
        except InputError:
            raise
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise InputError(
                "unreadable_matrix", self.where(self.table_path) + f" cannot be read ({error}).", remedy
            ) from error
        bad = [column for column, kind in table.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
        if bad or table.empty:
            raise InputError(
                "bad_matrix",
                self.where(self.table_path)
                + (f": column '{bad[0]}' holds text." if bad else " holds no numbers."),
                remedy,
            )
        return table

    def _read_spots(self) -> pd.DataFrame:
        path = Path(self.row.spots)
        where = self.where(path)
        remedy = (
            "Give the spot file of the ST spot detector: x, y, new_x, new_y, pixel_x, pixel_y[, selected]."
        )
        try:
            with open_table(path) as handle:
                table = pd.read_csv(handle, sep=_sniff(path)[0])
        except InputError:
            raise
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise InputError("bad_positions", f"{where} cannot be read ({error}).", remedy) from error
        table.columns = table.columns.astype(str).str.strip().str.lower()
        if not {"x", "y"} <= set(table.columns):
            raise InputError(
                "bad_positions",
                f"{where} has the columns {', '.join(table.columns)}; x and y are missing.",
                remedy,
            )
        wanted = [name for name in ("x", "y", "pixel_x", "pixel_y", "selected") if name in table]
        numbers = table[wanted].apply(pd.to_numeric, errors="coerce")
        if numbers.isna().any(axis=None):
            line = int(np.flatnonzero(numbers.isna().any(axis=1))[0]) + 2
            raise InputError(
                "bad_positions", f"{where} line {line} holds something that is no number.", remedy
            )
        numbers[["x", "y"]] = numbers[["x", "y"]].round().astype(int)
        numbers.index = [f"{x}x{y}" for x, y in zip(numbers["x"], numbers["y"], strict=True)]
        if not self.names_spots:
            numbers.index = np.arange(len(numbers)).astype(str)
        if not numbers.index.is_unique:
            twice = numbers.index[numbers.index.duplicated()][0]
            raise InputError("duplicate_barcodes", f"{where}: spot {twice} stands more than once.", remedy)
        return numbers

    def counts(self) -> ad.AnnData:
        table = self._table
        if table is None:
            table = self._raw_table
            if self.names_spots or self.spots is None or len(table) != len(self.spots):
                raise InputError(
                    "positions_mismatch",
                    self.where(self.table_path)
                    + f" has {len(table)} rows that are not named XxY, the spot file"
                    f" {0 if self.spots is None else len(self.spots)} spots.",
                    "Name the rows XxY, or give the spot file in the order of the rows.",
                )
            barcodes = self.spots.index
        else:
            xy = array_coordinates(table.index, self.where(self.table_path))
            barcodes = [f"{x}x{y}" for x, y in zip(xy["x"], xy["y"], strict=True)]
        return make_counts(table.to_numpy(np.float32), barcodes, table.columns)

    def positions(self) -> pd.DataFrame:
        spots = self.spots
        if spots is None:
            spots = array_coordinates(self._spot_names(), self.where(self.table_path))
            spots = spots[~spots.index.duplicated()]
        positions = pd.DataFrame(index=spots.index.rename("barcode"))
        if self.has_pixels:
            positions[["x", "y"]] = spots[["pixel_x", "pixel_y"]].to_numpy(np.float64)
        else:
            ideal = ideal_lattice(spots["y"], spots["x"], self.lattice)
            positions[["x", "y"]] = ideal * self.pitch_um
        positions["in_tissue"] = spots["selected"].astype(bool) if "selected" in spots else True
        positions["array_row"], positions["array_col"] = spots["y"], spots["x"]
        return positions

    def resolve_mpp(self, positions: pd.DataFrame) -> float:
        return super().resolve_mpp(positions) if self.has_pixels else 1.0

    def files(self) -> list[Path]:
        return [self.table_path] + ([Path(self.row.spots)] if self.row.spots else [])


def array_coordinates(names: pd.Index, where: str) -> pd.DataFrame:
    """x and y (integers) that spot names state, indexed ``XxY``.

    Names with decimals are measured coordinates; rounding gives the array's.
    """
    xy = names.astype(str).to_series().str.extract(SPOT_NAME).astype(float)
    if xy.isna().any(axis=None):
        first = names[np.flatnonzero(xy.isna().any(axis=1))[0]]
        raise InputError(
            "bad_positions", f"{where}: '{first}' is no spot name.", "Name the spots XxY, e.g. 10x13."
        )
    xy = xy.round().astype(int).set_axis(["x", "y"], axis=1)
    xy.index = [f"{x}x{y}" for x, y in zip(xy["x"], xy["y"], strict=True)]
    return xy


def _sniff(path: Path) -> tuple[str, bool]:
    """Separator of a table, and whether its first column names the rows."""
    with io.TextIOWrapper(open_table(path), encoding="utf-8-sig") as handle:
        header, first = handle.readline().rstrip("\r\n"), handle.readline().rstrip("\r\n")
    separator = max(("\t", ",", ";", " "), key=header.count)
    head, values = header.split(separator), first.split(separator)
    if len(values) == len(head) + 1:
        return separator, True  # R leaves out the header of the row names
    is_number = values[0].strip('"').replace(".", "", 1).isdigit()
    return separator, head[0].strip('"') in ("", "gene", "genes", "spot", "barcode") or not is_number
