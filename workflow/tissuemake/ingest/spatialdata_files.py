"""SpatialData stores: a zarr folder or zip with a table, the shapes it annotates, and images."""

import tempfile
from functools import cached_property
from pathlib import Path

import anndata as ad
import numpy as np

from tissuemake.errors import InputError
from tissuemake.ingest.anndata_files import AnnDataReader, coordinates, unreadable
from tissuemake.ingest.images import HIRES_LONG_SIDE, shrink, to_rgb
from tissuemake.unpack import unpack


class SpatialDataReader(AnnDataReader):
    """One table of a SpatialData store and the region it annotates.

    A table that carries image, coordinates and µm per pixel itself (``uns["spatial"]``, as this workflow
    delivers it) is taken as it is. Otherwise positions are the centroids of the region's elements, brought
    into the pixels of the largest image that shares a coordinate system with them.
    """

    _format = "SpatialData"

    def _open(self) -> None:
        self._picture: np.ndarray | None = None
        sdata = self._read_store()
        self.table = self._pick_table(sdata)
        self.obs, self.uns = self.table.obs.copy(), self.table.uns
        if "microns_per_pixel" in self.scalefactors() and "spatial" in self.table.obsm:
            self.xy = np.asarray(self.table.obsm["spatial"], float)[:, :2]
            return
        self.xy = self._from_elements(sdata)

    def _read_store(self):
        import spatialdata

        path = self.path
        try:
            if path.is_file():
                # Images are read lazily, so the unpacked store must live as long as the reader.
                self._unpacked = tempfile.TemporaryDirectory(prefix="tissuemake-")
                unpack(path, Path(self._unpacked.name))
                path = _store_root(Path(self._unpacked.name))
            _refuse_pickles(path, self.where(self.path))
            return spatialdata.read_zarr(path)
        except InputError:
            raise
        except Exception as error:  # zarr, ome-zarr and zipfile raise many kinds on a broken store
            raise unreadable(self.path, self.row.sample, error) from error

    def _pick_table(self, sdata) -> ad.AnnData:
        names = list(sdata.tables)
        if self.row.bin_um:
            mark = f"{int(self.row.bin_um):03d}um" if self.row.bin_um.isdigit() else "segment"
            names = [name for name in names if mark in name] or names
        if not names:
            raise InputError(
                "missing_matrix",
                self.where(self.path) + " holds no table.",
                "Add a table of counts that annotates shapes of the store.",
            )
        if len(names) > 1 and "table" not in names:
            raise InputError(
                "several_sections",
                self.where(self.path) + f" holds {len(names)} tables: {', '.join(names)}.",
                "Write one store per section, or fill bin_um with the bin size whose table to read.",
            )
        return sdata.tables["table" if "table" in names else names[0]]

    def _from_elements(self, sdata) -> np.ndarray:
        attributes = self.table.uns.get("spatialdata_attrs", {})
        regions = np.ravel(attributes.get("region", [])).tolist()
        if len(regions) > 1:
            raise InputError(
                "several_sections",
                self.where(self.path)
                + f": the table annotates {len(regions)} regions: {', '.join(regions)}.",
                "Write one store per section and add one row each.",
            )
        if not regions or regions[0] not in sdata:
            return coordinates(self.obs, self.table.obsm.get("spatial"), self.where(self.path))
        return self._to_pixels(sdata, sdata[regions[0]], attributes["instance_key"])

    def _to_pixels(self, sdata, element, instance_key: str) -> np.ndarray:
        """Centroids of the annotated elements as pixels of the largest image in their coordinate system."""
        systems = _systems(element)
        shared = [
            (image, system)
            for image in sdata.images.values()
            for system in systems
            if system in _systems(image)
        ]
        system = systems[0]
        if shared:
            # The same image may stand in several systems; the one listed first is the least scaled down.
            image, system = max(
                shared, key=lambda pair: (_levels(pair[0])[0].sizes["x"], -systems.index(pair[1]))
            )
        centres = self._centroids(element, system, instance_key)
        if not shared:
            return centres
        levels = _levels(image)
        self._picture, self._width = _scaled(levels), levels[0].sizes["x"]
        self.stain = "H&E" if levels[0].sizes["c"] >= 3 else "fluorescence"
        inverse = np.linalg.inv(_affine(image, system))
        return centres @ inverse[:2, :2].T + inverse[:2, 2]

    def _centroids(self, element, system: str, instance_key: str) -> np.ndarray:
        import spatialdata

        centres = spatialdata.get_centroids(element, coordinate_system=system).compute()
        wanted = self.obs[instance_key]
        missing = ~wanted.isin(centres.index)
        if missing.any():
            raise InputError(
                "positions_mismatch",
                self.where(self.path)
                + f": {missing.sum()} rows of the table have no shape, e.g. '{wanted[missing].iloc[0]}'.",
                "Write the store again with the shapes that its table annotates.",
            )
        return centres.loc[wanted, ["x", "y"]].to_numpy(float)

    @cached_property
    def adata(self) -> ad.AnnData:
        return self.table

    def scalefactors(self) -> dict[str, float]:
        if self._picture is None:
            return super().scalefactors()
        return {"tissue_hires_scalef": self._picture.shape[1] / self._width}

    def image_sizes(self) -> dict[str, tuple]:
        return super().image_sizes() if self._picture is None else {"hires": self._picture.shape}

    def vendor_images(self) -> dict[str, np.ndarray]:
        return super().vendor_images() if self._picture is None else {"hires": self._picture}

    def files(self) -> list[Path]:
        if self.path.is_file():
            return [self.path]
        return sorted(path for path in self.path.rglob("*") if path.is_file())


def _store_root(folder: Path) -> Path:
    """The folder that is the zarr store in an unpacked archive."""
    marks = ("zarr.json", ".zgroup", ".zattrs")
    for candidate in (folder, *sorted(child for child in folder.iterdir() if child.is_dir())):
        if any((candidate / mark).is_file() for mark in marks):
            return candidate
    return folder


def _refuse_pickles(store: Path, where: str) -> None:
    """Refuse arrays whose codec is a pickle: unpacking one may run any code, whatever else it passes through."""
    for path in store.rglob("*"):
        if path.name in (".zarray", ".zmetadata", "zarr.json") and b"pickle" in path.read_bytes().lower():
            raise InputError(
                "pickle_refused",
                f"{where}: {path.relative_to(store)} names a pickle as codec, and a pickle can run any code when "
                "it is opened.",
                "Write the store again with spatialdata; it uses none.",
            )


def _systems(element) -> list[str]:
    """Coordinate systems of an element: "global" first, scaled-down copies last."""
    from spatialdata.transformations import get_transformation

    names = get_transformation(element, get_all=True)
    return sorted(names, key=lambda name: (name != "global", "downscaled" in name, name))


def _affine(element, system: str) -> np.ndarray:
    """The (3, 3) matrix from an element's own x, y to `system`."""
    from spatialdata.transformations import get_transformation

    return get_transformation(element, system).to_affine_matrix(("x", "y"), ("x", "y"))


def _levels(image) -> list:
    """Levels (c, y, x) of an image, the largest first."""
    from spatialdata import get_pyramid_levels

    return [image] if hasattr(image, "sizes") and "c" in image.dims else list(get_pyramid_levels(image))


def _scaled(levels: list) -> np.ndarray:
    """The image as uint8 RGB of at most `HIRES_LONG_SIDE` pixels."""
    enough = [level for level in levels if max(level.sizes["x"], level.sizes["y"]) >= HIRES_LONG_SIDE]
    level = enough[-1] if enough else levels[0]
    step = max(1, max(level.sizes["x"], level.sizes["y"]) // (2 * HIRES_LONG_SIDE))
    channels = slice(0, 3) if level.sizes["c"] >= 3 else slice(0, 1)
    pixels = level.isel(c=channels, y=slice(None, None, step), x=slice(None, None, step)).transpose(
        "y", "x", "c"
    )
    return shrink(to_rgb(np.asarray(pixels)), HIRES_LONG_SIDE)
