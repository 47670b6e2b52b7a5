"""Visium: the output of Space Ranger 1 to 4."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.errors import InputError
from tissuemake.ingest import space_ranger, ten_x
from tissuemake.ingest.base import Reader
from tissuemake.ingest.images import load_image
from tissuemake.ingest.tissue_positions import read_tissue_positions
from tissuemake.sheets import Sample


class VisiumReader(Reader):
    """A Visium section, direct placement or CytAssist, 6.5 or 11 mm.

    Space Ranger 1 writes ``tissue_positions_list.csv`` without a header, 2 and later ``tissue_positions.csv``
    with one. The filtered matrix holds the spots under tissue; a raw one holds all that were sequenced, and
    those off tissue stay, flagged in ``in_tissue``.
    """

    lattice = "hexagonal"
    pitch_um = 100.0
    spot_diameter_um = 55.0

    def __init__(self, row: Sample) -> None:
        super().__init__(row)
        self._locate(Path(row.path))
        if self.positions_path is None:
            raise InputError(
                "missing_positions",
                f"Sample '{row.sample}': no tissue positions in {self.outs / 'spatial'}.",
                "Add tissue_positions.csv (Space Ranger 2 and later) or tissue_positions_list.csv (1.x).",
            )
        stated = ten_x.h5_attributes(self.matrix) if self.matrix.suffix == ".h5" else {}
        self.chemistry = stated.get("chemistry_description", "")
        version = stated.get("software_version", "")
        self.software = version.replace("spaceranger-", "Space Ranger ").replace(
            "cellranger-", "Cell Ranger "
        )
        self.layout = self._describe()

    def _locate(self, path: Path) -> None:
        """Find the section's folder, its matrix, and what lies in ``spatial``."""
        self.outs = space_ranger.find_outs(path, self.row.sample)
        self.matrix = space_ranger.find_matrix(path, self.outs, self.row.sample)
        self._find_spatial()

    def _find_spatial(self) -> None:
        folders = space_ranger.spatial_folders(self.outs)
        name = self.matrix.name
        prefix = next((name.removesuffix(m) for m in space_ranger.MATRICES if name.endswith(m)), "")

        def find(*names: str) -> Path | None:
            return space_ranger.find(folders, names, self.row.sample, prefix)

        self.positions_path = find(*space_ranger.POSITIONS)
        self.scalefactors_path = find("scalefactors_json.json")
        self.image_paths = {
            key: found
            for key in ("hires", "lowres")
            if (found := find(*(f"tissue_{key}_image.{kind}" for kind in ("png", "jpg", "jpeg", "tiff"))))
        }
        self.cytassist_path = find("cytassist_image.tiff", "cytassist_image.tif")

    def _describe(self) -> str:
        names = self.positions_path.name.removesuffix(".gz")
        era = {
            "tissue_positions_list.csv": "Space Ranger 1.x",
            "tissue_positions.csv": "Space Ranger 2 or later",
        }
        parts = [era.get(names[names.find("tissue_positions") :], "parquet positions")]
        if self.software.startswith("Space Ranger 1.") and "2 or later" in parts[0]:
            self.warn(
                "version_mismatch",
                f"the matrix states {self.software}, but later versions write {self.positions_path.name}.",
                "Check that matrix and spatial folder come from the same run.",
            )
        parts.append(
            f"{'raw' if self.is_raw else 'filtered'} matrix ({'h5' if self.matrix.is_file() else 'mtx'})"
        )
        parts += ["CytAssist"] if self.cytassist_path else []
        parts += [] if "hires" in self.image_paths else ["no hires image"]
        return ", ".join(parts)

    @property
    def is_raw(self) -> bool:
        """Whether the matrix is the raw one, with spots off tissue."""
        return "raw_feature_bc_matrix" in self.matrix.name

    def counts(self) -> ad.AnnData:
        return ten_x.read_matrix(self.matrix, self.where(self.matrix))

    def positions(self) -> pd.DataFrame:
        return read_tissue_positions(self.positions_path, self.where(self.positions_path))

    def scalefactors(self) -> dict[str, float]:
        return space_ranger.read_scalefactors(self.scalefactors_path, self.where(self.scalefactors_path))

    def vendor_images(self) -> dict[str, np.ndarray]:
        return {key: load_image(path) for key, path in self.image_paths.items()}

    def files(self) -> list[Path]:
        single = [self.positions_path, self.scalefactors_path, *self.image_paths.values()]
        return [*ten_x.matrix_files(self.matrix), *(path for path in single if path)]
