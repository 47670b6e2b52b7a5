"""AnnData made elsewhere: an ``.h5ad`` whose counts, coordinates and images may stand in several places."""

from abc import abstractmethod
from functools import cached_property
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.errors import InputError
from tissuemake.hdf5_guard import check_hdf5
from tissuemake.ingest.base import Reader
from tissuemake.ingest.counts import GENE_EXPRESSION, make_counts
from tissuemake.ingest.images import to_rgb
from tissuemake.ingest.lattice import grid_from_coordinates, is_checkerboard
from tissuemake.ingest.spatial_transcriptomics import PITCH_1K_UM, PITCH_2K_UM, SPOT_NAME
from tissuemake.raw_counts import find_counts, find_genes
from tissuemake.sheets import Sample

COORDINATES = (("pxl_col_in_fullres", "pxl_row_in_fullres"), ("x_centroid", "y_centroid"), ("x", "y"))


class AnnDataReader(Reader):
    """What h5ad and SpatialData share: a table with coordinates, perhaps a lattice, perhaps images."""

    def __init__(self, row: Sample) -> None:
        super().__init__(row)
        self.path = Path(row.path)
        self._open()
        known = self._uns_record("tissuemake")
        self.software = str(known.get("software", ""))
        self.chemistry = str(known.get("chemistry", ""))
        self.organism_stated = str(known.get("organism", ""))
        self._detect(known)

    @abstractmethod
    def _open(self) -> None:
        """Set ``obs``, ``xy`` (n, 2) and ``uns`` without reading the counts."""

    @cached_property
    @abstractmethod
    def adata(self) -> ad.AnnData:
        """The whole table."""

    def _uns_record(self, key: str) -> dict:
        value = self.uns.get(key, {})
        return dict(value) if hasattr(value, "items") else {}

    def _detect(self, known: dict) -> None:
        """Find the lattice: from our own record, array columns, spot names, or gridded coordinates."""
        obs = self.obs
        self.array = None
        if {"array_row", "array_col"} <= set(obs.columns):
            self.array = obs[["array_row", "array_col"]].apply(pd.to_numeric, errors="coerce").round()
            hexagonal = is_checkerboard(*self.array.fillna(0).to_numpy(int).T)
            self._set_lattice("hexagonal" if hexagonal else "square", 100.0 if hexagonal else 0.0, 55.0)
        elif obs.index.str.match(SPOT_NAME).all():
            names = obs.index.to_series().str.extract(SPOT_NAME).astype(float).round()
            self.array = names.set_axis(["array_col", "array_row"], axis=1)
            checkerboard = is_checkerboard(*self.array.to_numpy(int).T)
            self._set_lattice("square", PITCH_2K_UM if checkerboard else PITCH_1K_UM, 100.0)
        elif grid := grid_from_coordinates(self.xy):
            self.array = pd.DataFrame({"array_row": grid[0], "array_col": grid[1]}, index=obs.index)
            pitch = grid[2] * (self.row.mpp or self.microns_per_pixel() or 0.0)
            self._set_lattice("square", pitch, pitch)
        else:
            self.observation, self.spot_diameter_um = "cell", 10.0
        if self.row.bin_um.isdigit():
            self._set_lattice("square", float(self.row.bin_um), float(self.row.bin_um), "bin")
        for key in ("observation", "lattice", "pitch_um", "spot_diameter_um"):
            if key in known:
                setattr(self, key, type(getattr(self, key))(known[key]))
        grid_text = f"{self.lattice} lattice" if self.array is not None else "no lattice"
        self.layout = f"{self._format}, {grid_text}, {len(self.image_sizes())} images"

    _format = "AnnData"

    def _set_lattice(self, lattice: str, pitch: float, diameter: float, observation: str = "spot") -> None:
        self.lattice, self.pitch_um = lattice, pitch
        self.spot_diameter_um, self.observation = diameter, observation

    def counts(self) -> ad.AnnData:
        adata = self.adata
        matrix, var = find_counts(adata, self.where(self.path))
        symbols, ids = find_genes(var)
        types = var["feature_types"].astype(str) if "feature_types" in var else None
        if types is not None and not (types == GENE_EXPRESSION).any():
            types = None  # not 10x's vocabulary
        return make_counts(matrix, adata.obs_names, symbols, ids, types)

    def positions(self) -> pd.DataFrame:
        positions = pd.DataFrame(
            np.asarray(self.xy, float), columns=["x", "y"], index=self.obs.index.astype(str)
        )
        positions["in_tissue"] = True
        if "in_tissue" in self.obs:
            flag = self.obs["in_tissue"].astype(str).str.lower()
            positions["in_tissue"] = flag.isin(["1", "1.0", "true"]).to_numpy()
        if self.array is not None and not self.array.isna().any(axis=None):
            positions[["array_row", "array_col"]] = self.array[["array_row", "array_col"]].to_numpy(int)
        return positions.rename_axis("barcode")

    def _library(self) -> dict:
        """The entry of ``uns["spatial"]``: the sample's own, or the only one."""
        libraries = self._uns_record("spatial")
        entries = {key: value for key, value in libraries.items() if hasattr(value, "keys")}
        if self.row.sample in entries:
            return entries[self.row.sample]
        if len(entries) > 1:
            raise InputError(
                "several_sections",
                self.where(self.path) + f" holds {len(entries)} sections: {', '.join(entries)}.",
                "Write one h5ad per section and add one row each.",
            )
        return next(iter(entries.values()), {})

    def scalefactors(self) -> dict[str, float]:
        found = self._library().get("scalefactors", {})
        return {k: float(v) for k, v in found.items() if np.ndim(v) == 0 and not isinstance(v, str | bytes)}

    def image_sizes(self) -> dict[str, tuple]:
        """Shapes of the images that the file holds."""
        return {key: np.shape(value) for key, value in self._library().get("images", {}).items()}

    def vendor_images(self) -> dict[str, np.ndarray]:
        return {key: as_uint8(value) for key, value in self._library().get("images", {}).items()}

    def files(self) -> list[Path]:
        return [self.path]


class H5adReader(AnnDataReader):
    """An ``.h5ad``: counts in X, a layer or raw; coordinates in ``obsm["spatial"]`` or ``obs``."""

    _format = "h5ad"

    def _open(self) -> None:
        import h5py
        from anndata.io import read_elem

        check_hdf5(self.path, self.where(self.path))
        try:
            with h5py.File(self.path) as handle:
                self.obs = read_elem(handle["obs"])
                obsm = handle.get("obsm", {})
                key = next((name for name in ("spatial", "X_spatial") if name in obsm), None)
                given = None if key is None else read_elem(obsm[key])
                uns = handle.get("uns", {})
                self.uns = {name: read_elem(uns[name]) for name in ("spatial", "tissuemake") if name in uns}
        except (OSError, KeyError, ValueError) as error:
            raise unreadable(self.path, self.row.sample, error) from error
        self.xy = coordinates(self.obs, given, self.where(self.path))

    @cached_property
    def adata(self) -> ad.AnnData:
        try:
            return ad.read_h5ad(self.path)
        except Exception as error:  # a file cut short fails anywhere in h5py, numpy or anndata
            raise unreadable(self.path, self.row.sample, error) from error


def unreadable(path: Path, sample: str, error: object) -> InputError:
    """The error for a table that cannot be opened."""
    return InputError(
        "unreadable_matrix",
        f"Sample '{sample}': {path} is not a readable AnnData ({error}).",
        "Copy the file again from where it was written; it is damaged, cut short or another format.",
    )


def coordinates(obs: pd.DataFrame, given: object, where: str) -> np.ndarray:
    """(n, 2) coordinates x, y from ``obsm["spatial"]`` or columns of obs.

    Raises
    ------
    InputError
        ``missing_positions``.
    """
    if given is not None:
        return np.asarray(given, dtype=float)[:, :2]
    for pair in COORDINATES:
        if set(pair) <= set(obs.columns):
            return obs[list(pair)].to_numpy(float)
    raise InputError(
        "missing_positions",
        f"{where} has no coordinates: no obsm['spatial'], and no columns x, y in obs.",
        "Store full-resolution pixels (x, y) or µm in obsm['spatial'].",
    )


def as_uint8(image: np.ndarray) -> np.ndarray:
    """An image of ``uns["spatial"]`` as uint8 RGB; floats are in 0 to 1 by scanpy's convention."""
    image = np.asarray(image)
    if np.issubdtype(image.dtype, np.floating) and image.size and image.max() <= 1:
        image = np.rint(image * 255).astype(np.uint8)
    elif image.dtype != np.uint8 and image.size and image.max() <= 255 and image.min() >= 0:
        image = image.astype(np.uint8)
    return to_rgb(image)
