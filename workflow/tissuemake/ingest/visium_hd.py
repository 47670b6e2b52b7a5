"""Visium HD: the bins and the segmented cells of Space Ranger 3 and 4."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from tissuemake.errors import InputError
from tissuemake.ingest import space_ranger
from tissuemake.ingest.visium import VisiumReader
from tissuemake.sheets import Sample

SEGMENTED = "segmented"
STATED = re.compile(r"s_(\d+)um_(\d+)_(\d+)(?:-\d+)?$")
CELL_MATRICES = ("filtered_feature_cell_matrix.h5", "filtered_feature_cell_matrix")
SEGMENTATIONS = ("cell_segmentations.geojson", "graphclust_annotated_cell_segmentations.geojson")


class VisiumHDReader(VisiumReader):
    """One bin size of a Visium HD section, or its cells as Space Ranger 4 segments them.

    Bins of 2, 8 and 16 µm lie in ``binned_outputs/square_0NNum``, cells in ``segmented_outputs``. The barcode
    ``s_016um_00044_00076-1`` carries bin size, row and column. Cells have no positions file: their polygons'
    centroids in ``cell_segmentations.geojson`` are their positions, in full-resolution pixels.
    """

    lattice = "square"
    observation = "bin"

    def __init__(self, row: Sample) -> None:
        self.bin = row.bin_um or "8"
        if self.bin == SEGMENTED:
            self.observation, self.lattice, self.pitch_um, self.spot_diameter_um = "cell", "none", 0.0, 10.0
        else:
            self.pitch_um = self.spot_diameter_um = float(self.bin)
        super().__init__(row)
        self.slide = slide_serial(self.outs)

    def _locate(self, path: Path) -> None:
        present = find_bins(path)
        if self.bin not in present:
            raise InputError(
                "missing_bin",
                f"Sample '{self.row.sample}': bin_um '{self.bin}' is not in {path};"
                f" present: {', '.join(present) or 'none'}.",
                f"Fill the column bin_um with one of {', '.join(present)}."
                if present
                else "Point the column path to the folder that holds binned_outputs.",
            )
        self.outs = present[self.bin]
        if self.bin != SEGMENTED:
            self.matrix = space_ranger.find_matrix(self.outs, self.outs, self.row.sample)
            self._find_spatial()
            return
        self.matrix = space_ranger.find([self.outs], CELL_MATRICES, self.row.sample)
        if self.matrix is None:
            raise InputError(
                "missing_matrix",
                f"Sample '{self.row.sample}': {self.outs} holds no {CELL_MATRICES[0]}.",
                "Add it from Space Ranger's segmented_outputs.",
            )
        self._find_spatial()
        self.positions_path = space_ranger.find([self.outs], SEGMENTATIONS, self.row.sample)

    def _describe(self) -> str:
        if self.bin == SEGMENTED:
            return "Space Ranger 4 segmented cells"
        kind = "raw" if self.is_raw else "filtered"
        return f"{self.bin} µm bins, {kind} matrix ({'h5' if self.matrix.is_file() else 'mtx'})"

    def positions(self) -> pd.DataFrame:
        if self.bin == SEGMENTED:
            return read_cell_polygons(self.positions_path, self.where(self.positions_path))
        positions = super().positions()
        self._assert_barcodes(positions)
        return positions

    def scalefactors(self) -> dict[str, float]:
        factors = super().scalefactors()
        size = factors.get("bin_size_um")
        if size is not None and self.bin != SEGMENTED and size != self.pitch_um:
            raise InputError(
                "bad_scalefactors",
                self.where(self.scalefactors_path) + f" says bins of {size:g} µm, the folder {self.bin} µm.",
                "Copy the folder of this bin size again from Space Ranger's output.",
            )
        return factors

    def diameter_um(self, positions: pd.DataFrame) -> float:
        if self.bin != SEGMENTED:
            return self.spot_diameter_um
        return float(np.sqrt(4 / np.pi * positions["area_px"].median())) * self.resolve_mpp(positions)

    def _assert_barcodes(self, positions: pd.DataFrame) -> None:
        """The barcode states bin size, row and column; they must be those of the table."""
        said = stated_places(positions.index)
        if said is None:
            return  # renamed barcodes say nothing
        table = positions[["array_row", "array_col"]].to_numpy()
        wrong = (said[:, 0] != int(self.bin)) | (said[:, 1:] != table).any(axis=1)
        if wrong.any():
            first = positions.iloc[np.flatnonzero(wrong)[0]]
            raise InputError(
                "bad_positions",
                self.where(self.positions_path)
                + f": barcode '{first.name}' stands at row {first['array_row']}, column {first['array_col']}"
                f" of {self.bin} µm bins.",
                "Copy matrix and spatial folder of one bin size again from Space Ranger's output.",
            )


def slide_serial(bins: Path) -> str:
    """Serial of the slide as ``feature_slice.h5`` above a folder of bins or cells states it, else nothing."""
    import h5py

    for path in [found for folder in bins.parents[:2] for found in sorted(folder.glob("*feature_slice.h5"))]:
        try:
            with h5py.File(path) as handle:
                stated = json.loads(handle.attrs["metadata_json"])
            return str(json.loads(stated["hd_layout_json"])["slide_uid"])
        except (OSError, KeyError, TypeError, ValueError):
            continue  # earlier versions do not state it
    return ""


def stated_places(barcodes: pd.Index) -> np.ndarray | None:
    """Bin size, row and column (n, 3) as ``s_002um_00012_00034-1`` states them; None where any is named otherwise."""
    if not len(barcodes) or not STATED.match(str(barcodes[0])):
        return None
    try:
        letters = barcodes.to_numpy().astype("S").view(np.uint8).reshape(len(barcodes), -1)
    except UnicodeEncodeError:
        return None
    # Numbers are padded, so that each has its place: a slide of eight million bins is parsed in a second.
    places = [slice(*STATED.match(str(barcodes[0])).span(part)) for part in (1, 2, 3)]
    digits = np.zeros(letters.shape[1], bool)
    for place in places:
        digits[place] = True
    if not (letters[:, ~digits] == letters[0, ~digits]).all():
        return None
    values = letters[:, digits] - np.uint8(ord("0"))
    if (values > 9).any():
        return None
    columns, start = [], 0
    for width in (place.stop - place.start for place in places):
        powers = 10 ** np.arange(width - 1, -1, -1)
        columns.append(values[:, start : start + width] @ powers)
        start += width
    return np.column_stack(columns)


def find_bins(path: Path) -> dict[str, Path]:
    """Folders by bin size ("2", "8", …, "segmented"), from any level of a Visium HD folder."""
    path = path.parent if path.is_file() else path
    for folder in (path, path / "outs"):
        if not folder.is_dir():
            continue
        found = {}
        for bins in sorted([*folder.glob("*binned_outputs/square_*um"), *folder.glob("square_*um")]):
            found.setdefault(str(int(bins.name[7:-2])), bins)
        if folder.name.startswith("square_") and folder.name.endswith("um"):
            found[str(int(folder.name[7:-2]))] = folder
        segmented = [child for child in (*folder.glob("*segmented_outputs"), folder) if _has_cells(child)]
        if segmented:
            found[SEGMENTED] = segmented[0]
        if found:
            return dict(sorted(found.items(), key=lambda item: (not item[0].isdigit(), item[0].zfill(3))))
    return {}


def _has_cells(folder: Path) -> bool:
    return any(child.name.endswith(CELL_MATRICES) for child in folder.iterdir())


def read_cell_polygons(path: Path, where: str) -> pd.DataFrame:
    """Centroid and area of every polygon, by barcode ``cellid_000000001-1``: x, y, in_tissue, area_px."""
    import shapely
    from shapely.geometry import shape

    remedy = "Copy it again from Space Ranger's segmented_outputs."
    try:
        features = json.loads(path.read_text(encoding="utf-8"))["features"]
        names = [feature["properties"]["cell_id"] for feature in features]
        polygons = np.array([shape(feature["geometry"]) for feature in features], dtype=object)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError("bad_positions", f"{where} is not readable GeoJSON ({error!r}).", remedy) from error
    centres = shapely.centroid(polygons)
    barcodes = [name if isinstance(name, str) else f"cellid_{name:09d}-1" for name in names]
    positions = pd.DataFrame(
        {"x": shapely.get_x(centres), "y": shapely.get_y(centres), "in_tissue": True},
        index=pd.Index(barcodes, name="barcode"),
    )
    positions["area_px"] = shapely.area(polygons)
    if not positions.index.is_unique:
        twice = positions.index[positions.index.duplicated()][0]
        raise InputError("duplicate_barcodes", f"{where}: cell '{twice}' stands more than once.", remedy)
    return positions
