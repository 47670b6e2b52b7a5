"""What every reader is: parts of a sample, read apart (for the check) or put together (for the ingest)."""

from abc import ABC, abstractmethod
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.errors import InputError
from tissuemake.genes import guess_organism, tidy_genes
from tissuemake.ingest import images as pictures
from tissuemake.ingest.counts import check_counts, split_features
from tissuemake.ingest.lattice import fit_pitch_px
from tissuemake.provenance import versions
from tissuemake.resolution import slide_mpp
from tissuemake.sheets import Sample


class Reader(ABC):
    """One sample of one platform. Opening looks at names and small metadata only.

    Attributes
    ----------
    row : Sample
    software, chemistry : str
        As the files state them; empty where they do not.
    slide, run_start : str
        Serial of the slide and when the instrument began; empty where the files do not say.
    layout : str
        What was detected, in words.
    observation : str
        ``"spot"``, ``"bin"`` or ``"cell"``.
    lattice : str
        ``"hexagonal"``, ``"square"`` or ``"none"``.
    pitch_um, spot_diameter_um : float
        Distance of neighbours (0 without a lattice) and diameter of an observation.
    stain : str
        What the images show: ``"H&E"`` or ``"fluorescence"``.
    image_path : str
        Full-resolution image that positions refer to, or empty.
    notes : list of dict
        Findings (``level``, ``code``, ``message``, ``remedy``) that do not stop the sample.
    """

    observation = "spot"
    lattice = "none"
    pitch_um = 0.0
    spot_diameter_um = 0.0
    stain = "H&E"

    def __init__(self, row: Sample) -> None:
        self.row = row
        self.software = ""
        self.chemistry = ""
        self.slide = ""
        self.run_start = ""
        self.layout = ""
        self.image_path = row.image
        self.organism_stated = ""
        self.notes: list[dict] = []

    @abstractmethod
    def counts(self) -> ad.AnnData:
        """All features: X CSR raw counts, obs_names barcodes; var by name with gene_id, feature_type."""

    @abstractmethod
    def positions(self) -> pd.DataFrame:
        """By barcode: x, y (full-resolution pixels), in_tissue; array_row, array_col on a lattice."""

    @abstractmethod
    def files(self) -> list[Path]:
        """The files that reading takes in, for a fingerprint."""

    def scalefactors(self) -> dict[str, float]:
        """Scale factors as the vendor's file states them; empty without one."""
        return {}

    def images(self) -> dict[str, np.ndarray]:
        """Down-scaled images, uint8 RGB; a missing hires is made from the full-resolution image."""
        return self._scaled_images()[0]

    def microns_per_pixel(self) -> float | None:
        """µm per full-resolution pixel as the vendor's files or the slide state it, else None."""
        stated = self.scalefactors().get("microns_per_pixel")
        if stated is None and self.image_path:
            stated = slide_mpp(self.image_path)
        return stated

    def image_size(self) -> tuple[int, int] | None:
        """Width and height of the full-resolution image, or None without one."""
        return pictures.image_size(self.image_path) if self.image_path else None

    def where(self, path: Path | str) -> str:
        """How messages name a file of this sample."""
        return f"Sample '{self.row.sample}': {path}"

    def warn(self, code: str, message: str, remedy: str) -> None:
        """Note something that does not stop the sample."""
        self.notes.append(InputError(code, f"Sample '{self.row.sample}': {message}", remedy).finding("warn"))

    def read(self) -> ad.AnnData:
        """Put the parts together: one AnnData that satisfies the contract INGESTED.

        Raises
        ------
        InputError
            When counts are not counts, barcodes have no positions, or nothing gives µm per pixel.
        """
        counts = self.counts()
        check_counts(counts, self.where(self.row.path))
        positions = self.positions()
        counts, positions = self.join(counts, positions)
        adata = tidy_genes(split_features(counts, self.where(self.row.path)))
        self._place(adata, positions)
        adata.uns["spatial"] = {self.row.sample: self._spatial(positions)}
        adata.uns["tissuemake"] = self._provenance(adata, positions)
        return adata

    def join(self, counts: ad.AnnData, positions: pd.DataFrame) -> tuple[ad.AnnData, pd.DataFrame]:
        """Counts and positions of the barcodes that have both, in the order of the counts.

        Raises
        ------
        InputError
            ``positions_mismatch`` when more than half of the barcodes have no position.
        """
        if counts.obs_names.equals(positions.index):
            return counts, positions
        known = counts.obs_names.isin(positions.index)
        lost = counts.obs_names[~known]
        if len(lost) > counts.n_obs / 2:
            raise InputError(
                "positions_mismatch",
                self.where(self.row.path)
                + f": {len(lost)} of {counts.n_obs} barcodes have no position, e.g. '{lost[0]}';"
                f" positions hold e.g. '{positions.index[0] if len(positions) else ''}'.",
                "Matrix and positions come from different sections; put both of one section together.",
            )
        if len(lost):
            self.warn(
                "barcodes_without_position",
                f"{len(lost)} of {counts.n_obs} barcodes have no position and are dropped, e.g. '{lost[0]}'.",
                "Nothing to do if the folder was cropped; otherwise give the full positions file.",
            )
            counts = counts[known].copy()
        return counts, positions.loc[counts.obs_names]

    def resolve_mpp(self, positions: pd.DataFrame) -> float:
        """µm per pixel: the sheet's word, then the files', then the spots' pitch.

        Raises
        ------
        InputError
            ``no_mpp`` when none of them says.
        """
        for value in (self.row.mpp, self.microns_per_pixel()):
            if value:
                return float(value)
        pitch = fit_pitch_px(positions, self.lattice) if self.lattice != "none" and self.pitch_um else None
        if pitch:
            return self.pitch_um / pitch
        raise InputError(
            "no_mpp",
            self.where(self.row.path)
            + " does not say how large a pixel is, and has no spot lattice to tell.",
            "Fill the column mpp of the sheet: µm per full-resolution pixel (1 if coordinates are in µm).",
        )

    def _place(self, adata: ad.AnnData, positions: pd.DataFrame) -> None:
        xy = positions[["x", "y"]].to_numpy(np.float64)
        if not np.isfinite(xy).all():
            raise InputError(
                "bad_positions",
                self.where(self.row.path) + f": {np.sum(~np.isfinite(xy).all(1))} positions are not numbers.",
                "Restore the positions file as the instrument's software wrote it.",
            )
        adata.obsm["spatial"] = xy
        for column in positions.columns.drop(["x", "y"]):
            adata.obs[column] = positions[column].to_numpy()
        adata.obs["in_tissue"] = positions["in_tissue"].to_numpy(bool)
        for column in ("array_row", "array_col"):
            if column in adata.obs:
                adata.obs[column] = adata.obs[column].astype(int)

    def _scaled_images(self) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """Images and the scale factors that go with them."""
        factors = dict(self.scalefactors())
        return pictures.complete(self.vendor_images(), factors, self.image_path)

    def vendor_images(self) -> dict[str, np.ndarray]:
        """Down-scaled images that came with the data."""
        return {}

    def _spatial(self, positions: pd.DataFrame) -> dict:
        images, factors = self._scaled_images()
        mpp = self.resolve_mpp(positions)
        factors["microns_per_pixel"] = mpp
        factors.setdefault("spot_diameter_fullres", self.diameter_um(positions) / mpp)
        return {
            "images": images,
            "scalefactors": {key: float(value) for key, value in factors.items()},
            "metadata": {"source_image_path": self.image_path, "stain": self.stain if images else ""},
        }

    def diameter_um(self, positions: pd.DataFrame) -> float:
        """Typical diameter of an observation."""
        return self.spot_diameter_um

    def _provenance(self, adata: ad.AnnData, positions: pd.DataFrame) -> dict:
        row = self.row
        return {
            **{key: getattr(row, key) for key in ("sample", "assay", "tissue", "donor")},
            "organism": row.organism
            or self.organism_stated
            or guess_organism(adata.var_names, adata.var["gene_id"]),
            "source": row.path,
            **{
                key: getattr(self, key)
                for key in ("software", "chemistry", "layout", "observation", "lattice")
            },
            "pitch_um": float(self.pitch_um),
            "spot_diameter_um": float(self.diameter_um(positions)),
            "versions": versions(),
        }
