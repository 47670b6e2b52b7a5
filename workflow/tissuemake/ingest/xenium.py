"""Xenium: bundles of Xenium Onboard Analysis (XOA) 1 to 4, whole or in parts."""

import json
from functools import cached_property
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.errors import InputError
from tissuemake.ingest import images as pictures
from tissuemake.ingest import ten_x, xenium_tables
from tissuemake.ingest.alignment import find_alignment, pixel_scale, read_alignment, to_image
from tissuemake.ingest.base import Reader
from tissuemake.ingest.transcripts import transcript_counts
from tissuemake.sheets import Sample

PIXEL_SIZE_UM = 0.2125  # the instrument's, the same since the first; experiment.xenium repeats it
COVERED = 0.95
MORPHOLOGY = (
    "morphology_focus/ch0000_dapi.ome.tif",  # XOA 3.1 and later
    "morphology_focus/morphology_focus_0000.ome.tif",  # XOA 2 and 3
    "morphology_focus.ome.tif",  # XOA 1
    "morphology_mip.ome.tif",
)


class XeniumReader(Reader):
    """One Xenium section; positions are pixels of the H&E when one is given, else of the morphology image.

    Vendor coordinates are µm. Morphology pixel = µm / 0.2125. The alignment matrix (Xenium Explorer) maps H&E
    pixels to morphology pixels, so cells go to the H&E through its inverse.
    """

    observation = "cell"
    spot_diameter_um = 10.0

    def __init__(self, row: Sample) -> None:
        super().__init__(row)
        self.bundle = find_bundle(Path(row.path), row.sample)
        self.prefix = bundle_prefix(self.bundle) or ""
        self.experiment = self._read_experiment()
        version = str(self.experiment.get("analysis_sw_version", ""))
        self.software = version.replace("xenium-", "Xenium Onboard Analysis ")
        self.chemistry = str(self.experiment.get("panel_name", ""))
        self.slide = str(self.experiment.get("slide_id", ""))
        self.run_start = str(self.experiment.get("run_start_time", ""))
        self.organism_stated = {"human": "human", "mouse": "mouse"}.get(
            str(self.experiment.get("panel_organism", "")).lower(), ""
        )
        self.pixel_size = self._stated_pixel_size()
        self.matrix = self._find_matrix()
        self.cells, self.boundaries, self.transcripts = (
            xenium_tables.find_table(self.bundle, f"{self.prefix}{name}")
            for name in ("cells", "cell_boundaries", "transcripts")
        )
        self._require()
        self.alignment_path = find_alignment(row, self.bundle) if row.image else None
        self.alignment = read_alignment(self.alignment_path, row.sample) if self.alignment_path else None
        self.morphology = None if row.image else self._find_morphology()
        self.stain = "H&E" if row.image else "fluorescence"
        self.layout = self._describe()

    def _read_experiment(self) -> dict:
        path = self._own("experiment.xenium")
        if not path.is_file():
            return {}
        try:
            stated = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self._bad_experiment(f"is not readable JSON ({error})") from error
        if not isinstance(stated, dict):
            raise self._bad_experiment("is no JSON object")
        return stated

    def _stated_pixel_size(self) -> float:
        stated = self.experiment.get("pixel_size", PIXEL_SIZE_UM)
        if not isinstance(stated, int | float) or not 0.01 <= stated <= 1000:
            raise self._bad_experiment(f"says a pixel_size of {stated!r}, which is no size in µm")
        return float(stated)

    def _bad_experiment(self, what: str) -> InputError:
        return InputError(
            "bad_experiment",
            f"{self.where(self._own('experiment.xenium'))} {what}.",
            "Copy it again from the instrument's output, or remove it.",
        )

    def _own(self, name: str) -> Path:
        """A file of the bundle, under the prefix that its files carry."""
        return self.bundle / f"{self.prefix}{name}"

    def _find_matrix(self) -> Path | None:
        candidates = (self._own("cell_feature_matrix.h5"), self._own("cell_feature_matrix"))
        return next((path for path in candidates if path.exists()), None)

    def _require(self) -> None:
        if self.matrix is None and self.transcripts is None:
            raise InputError(
                "missing_matrix",
                f"Sample '{self.row.sample}': {self.bundle} has neither matrix nor transcripts.",
                "Add cell_feature_matrix.h5 from the instrument's output.",
            )
        if self.cells is None and self.boundaries is None and self.transcripts is None:
            raise InputError(
                "missing_positions",
                f"Sample '{self.row.sample}': {self.bundle} holds no cells table.",
                "Add cells.parquet (or cells.csv.gz) from the instrument's output.",
            )

    def _find_morphology(self) -> Path | None:
        images = self.experiment.get("images")
        stated = images.get("morphology_focus_filepath") if isinstance(images, dict) else None
        names = [stated] if isinstance(stated, str) and stated else []
        candidates = [self.bundle / name for name in names + [self.prefix + name for name in MORPHOLOGY]]
        # What a bundle states of itself is not followed out of it.
        inside = [path for path in candidates if path.resolve().is_relative_to(self.bundle.resolve())]
        return next((path for path in inside if path.is_file()), None)

    def _describe(self) -> str:
        source = "counted from transcripts" if self.matrix is None else f"{self.matrix.name}"
        places = next(path.name for path in (self.cells, self.boundaries, self.transcripts) if path)
        if self.row.image:
            picture = "H&E through its alignment"
        else:
            picture = self.morphology.name if self.morphology else "no image"
        known = "" if self.experiment else ", no experiment.xenium"
        return f"{source}, {places}, {picture}{known}"

    def counts(self) -> ad.AnnData:
        if self.matrix is not None:
            return ten_x.read_matrix(self.matrix, self.where(self.matrix))
        return self._from_transcripts[0]

    @cached_property
    def _from_transcripts(self) -> tuple[ad.AnnData, pd.DataFrame]:
        panel = self._own("gene_panel.json")
        return transcript_counts(self.transcripts, panel, self.where(self.transcripts))

    def positions_um(self) -> pd.DataFrame:
        """x, y in µm as the vendor has them, and the areas of cell and nucleus where known, by cell id."""
        if self.cells is None:
            centres = self._from_transcripts[1] if self.transcripts else None
            if self.boundaries is None:
                return centres
            outlined = xenium_tables.polygon_centres(self.boundaries, self.where(self.boundaries))
            return outlined if centres is None else outlined.combine_first(centres)
        needed, areas = ("cell_id", "x_centroid", "y_centroid"), ("cell_area", "nucleus_area")
        table = xenium_tables.read_table(self.cells, needed, areas, self.where(self.cells))
        if table["cell_id"].duplicated().any():
            twice = table["cell_id"][table["cell_id"].duplicated()].iloc[0]
            raise InputError(
                "duplicate_barcodes",
                self.where(self.cells) + f": cell '{twice}' stands more than once.",
                "Copy the file again from the instrument's output.",
            )
        table = table.set_index("cell_id").rename(columns={"x_centroid": "x", "y_centroid": "y"})
        return table.apply(pd.to_numeric, errors="coerce")

    def positions(self) -> pd.DataFrame:
        positions = self.positions_um()
        pixels = positions[["x", "y"]].to_numpy(float) / self.pixel_size
        positions[["x", "y"]] = pixels if self.alignment is None else to_image(pixels, self.alignment)
        positions["in_tissue"] = True
        return positions.rename_axis("barcode")

    def microns_per_pixel(self) -> float:
        return self.pixel_size * (1.0 if self.alignment is None else pixel_scale(self.alignment))

    def diameter_um(self, positions: pd.DataFrame) -> float:
        if "cell_area" not in positions:
            return self.spot_diameter_um
        return float(np.sqrt(4 / np.pi * positions["cell_area"].median()))

    def _scaled_images(self) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        if self.row.image or self.morphology is None:
            return super()._scaled_images()
        width, height = pictures.image_size(self.morphology)
        xy = self.positions()[["x", "y"]].to_numpy()
        covered = ((xy >= 0) & (xy <= (width, height))).all(1).mean()
        if covered < COVERED:
            self.warn(
                "morphology_does_not_cover_cells",
                f"{self.morphology.name} is {width} × {height} pixels; {covered:.0%} of the cells lie on it,"
                " so it is cropped or down-scaled and is not shown.",
                "Nothing to do for the counts; for the picture give the instrument's own image.",
            )
            return {}, {}
        hires = pictures.thumbnail(self.morphology)
        return {"hires": hires}, {"tissue_hires_scalef": hires.shape[1] / width}

    def files(self) -> list[Path]:
        tables = [self.cells] if self.cells else [self.boundaries, self.transcripts]
        tables += [self.transcripts] if self.matrix is None else []
        matrix = ten_x.matrix_files(self.matrix) if self.matrix else []
        single = [self._own("experiment.xenium"), *tables, self.alignment_path, self.morphology]
        return [*matrix, *dict.fromkeys(path for path in single if path and path.is_file())]


def find_bundle(path: Path, sample: str) -> Path:
    """The folder with the tables: `path`, its ``outs``, or its only bundle.

    Raises
    ------
    InputError
        ``several_sections``, ``unknown_layout``.
    """
    if path.is_file():
        return path.parent
    for folder in (path, path / "outs"):
        if is_bundle(folder):
            return folder
    bundles = sorted(child for child in path.iterdir() if is_bundle(child))
    if len(bundles) == 1:
        return bundles[0]
    if bundles:
        raise InputError(
            "several_sections",
            f"Sample '{sample}': {path} holds {len(bundles)} bundles: {', '.join(b.name for b in bundles)}.",
            "Add one row per section and let each path point to one bundle.",
        )
    raise InputError(
        "unknown_layout",
        f"Sample '{sample}': {path} is no Xenium bundle.",
        "Point the column path to the folder that holds cells.parquet and cell_feature_matrix.h5.",
    )


def is_bundle(folder: Path) -> bool:
    """Whether Xenium's files lie directly in `folder`."""
    return folder.is_dir() and bundle_prefix(folder) is not None


def bundle_prefix(folder: Path) -> str | None:
    """What stands before the names of a bundle's files: nothing, or as archives hand them out, a sample's name.

    None where `folder` holds no bundle, or files of several.
    """
    names = {child.name.split(".")[0] for child in folder.iterdir()}
    if names & {"cell_feature_matrix", "experiment", "transcripts"} and names & {
        "cells",
        "transcripts",
        "cell_boundaries",
        "cell_feature_matrix",
    }:
        return ""
    matrices = {
        name.removesuffix("cell_feature_matrix") for name in names if name.endswith("_cell_feature_matrix")
    }
    prefixes = [prefix for prefix in matrices if f"{prefix}cells" in names]
    return prefixes[0] if len(prefixes) == 1 else None
