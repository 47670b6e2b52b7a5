"""A delivered sample as SpatialData: image, shapes and the table that annotates them, in one zipped store."""

import shutil
import zipfile
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.files import atomic
from tissuemake.reporting.tissue_view import as_uint8

EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time a zip can hold: equal content gives equal bytes
# Squares are right for bins, but a polygon each is slow in every viewer; beyond this they become circles.
MOST_SQUARES = 50_000


def write_spatialdata(adata: ad.AnnData, sample: str, output: Path) -> None:
    """Write `adata` as ``OUTPUT`` (``….zarr.zip``); unzipped, or in a zarr ZipStore, `spatialdata` reads it.

    Elements: ``image`` (the hires tissue image, where there is one), ``spots``, ``bins`` or ``cells`` (circles or
    squares in full-resolution pixels), ``table``. Coordinate systems: ``global`` (full-resolution pixels) and
    ``microns``.
    """
    data = build(adata, sample)
    store = output.parent / f".{sample}.partial.zarr"
    shutil.rmtree(store, ignore_errors=True)  # of a run that was killed
    try:
        with atomic(output) as partial:
            data.write(store)
            zip_folder(store, partial)
    finally:
        shutil.rmtree(store, ignore_errors=True)


def build(adata: ad.AnnData, sample: str):
    """Return the `SpatialData` of a sample; see `write_spatialdata`."""
    from spatialdata import SpatialData
    from spatialdata.models import Image2DModel, TableModel
    from spatialdata.transformations import Identity, Scale, Sequence

    space = adata.uns["spatial"].get(sample, {})
    scales = space.get("scalefactors", {})
    to_microns = Scale([float(scales.get("microns_per_pixel", 1.0))] * 2, axes=("x", "y"))
    noun = str(adata.uns["tissuemake"].get("observation", "spot")) + "s"
    shapes = _shapes(adata, noun, float(scales.get("spot_diameter_fullres", 1.0)))
    shapes.attrs["transform"] = {"global": Identity(), "microns": to_microns}
    images = {}
    hires, factor = space.get("images", {}).get("hires"), scales.get("tissue_hires_scalef")
    if hires is not None and factor:
        to_pixels = Scale([1 / float(factor)] * 2, axes=("x", "y"))
        images["image"] = Image2DModel.parse(
            as_uint8(np.asarray(hires)).transpose(2, 0, 1),
            dims=("c", "y", "x"),
            c_coords=["r", "g", "b"],
            transformations={"global": to_pixels, "microns": Sequence([to_pixels, to_microns])},
        )
    table = TableModel.parse(_table(adata, noun), region=noun, region_key="region", instance_key="barcode")
    return SpatialData(images=images, shapes={noun: shapes}, tables={"table": table})


def _shapes(adata: ad.AnnData, noun: str, diameter: float):
    """Circles of the physical diameter, or squares for bins, indexed by barcode."""
    from spatialdata.models import ShapesModel

    spatial = np.asarray(adata.obsm["spatial"], dtype=float)
    index = pd.Index(adata.obs_names.astype(str))
    if are_circles(adata):
        return ShapesModel.parse(spatial, geometry=0, radius=diameter / 2, index=index)
    import geopandas
    import shapely

    half = diameter / 2
    x, y = spatial.T
    squares = shapely.box(x - half, y - half, x + half, y + half)
    return ShapesModel.parse(geopandas.GeoDataFrame({"geometry": squares}, index=index))


def are_circles(adata: ad.AnnData) -> bool:
    """Whether the shapes are circles, and not squares."""
    return str(adata.uns["tissuemake"].get("observation")) != "bin" or adata.n_obs > MOST_SQUARES


def _table(adata: ad.AnnData, noun: str) -> ad.AnnData:
    """The counts, values and annotations without the images, which stand beside the table as elements."""
    table = adata.copy()
    table.uns = {name: adata.uns[name] for name in ("tissuemake", "image_expression") if name in adata.uns}
    table.obs["region"] = pd.Categorical([noun] * table.n_obs)
    table.obs["barcode"] = table.obs_names.astype(str)
    return table


def zip_folder(folder: Path, output: Path) -> None:
    """Zip a zarr store: sorted, stored as it is (its chunks are compressed), without times."""
    with zipfile.ZipFile(output, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), EPOCH)
            entry.external_attr = 0o644 << 16
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while block := source.read(1 << 20):
                    target.write(block)
