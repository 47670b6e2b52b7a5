"""H&E tiles of a fixed physical size: around every spot, and on a grid over the tissue."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.contracts import INGESTED, read_annotations
from tissuemake.files import atomic
from tissuemake.histology.image import Slide
from tissuemake.histology.readers import ArraySlide
from tissuemake.histology.slide import open_slide
from tissuemake.histology.tile_store import TileWriter, encode_jpeg
from tissuemake.histology.tissue import covered_fraction, parts_under, tissue_mask
from tissuemake.provenance import measured

THUMBNAIL = 2000
# A grid cell with less tissue than this is glass.
LEAST_TISSUE = 0.25
# Cells and bins lie closer than a tile is wide: their tiles would be the same picture many times over.
MOST_SPOT_TILES = 20_000
FEWEST_SOURCE_PX = 16
ROWS_IN_MEMORY = 256


@dataclass(frozen=True)
class TissueImage:
    """A slide and how it lies under the spots: `scale` slide pixels per full-resolution pixel."""

    slide: Slide
    scale: float
    microns_per_pixel: float

    @property
    def mpp(self) -> float:
        """µm per pixel of the slide."""
        return self.microns_per_pixel / self.scale


def tile_slide(
    ingested: Path,
    output: Path,
    *,
    tile_um: float = 112.0,
    tile_px: int = 224,
    grid: bool = True,
    image: str = "",
) -> None:
    """Cut a sample's H&E image into tiles and write them as parquet, 256 rows in memory at a time.

    Spot tiles (``kind`` "spot", ``tile`` the barcode) are centred on each spot in tissue. Bins, cells and
    more than 20,000 spots get none, because theirs overlap many times: they belong to the grid tile that they
    lie in. Grid tiles ("grid", ``gROW_COL``) abut: ROW is ``floor(y * microns_per_pixel / tile_um)``, COL the
    same of x (`grid_cells`); they are written where at least a quarter is tissue, of a part on which
    observations lie, and where a tile is fewer than 16 pixels of the image only if an observation lies in it.
    Column ``mpp`` is µm per pixel of the image they were cut from, whatever ``size_um / size_px`` is.

    Parameters
    ----------
    ingested
        ``ingested.h5ad``. Its full-resolution image is used if it exists, else its hires image; a sample
        without an image gives a table without rows.
    tile_um, tile_px
        Edge of a tile on the tissue (µm) and in the output (pixels).
    image
        A full-resolution image to use instead of the recorded one.

    Raises
    ------
    InputError
        ``unreadable_slide`` when the image is damaged.
    """
    with atomic(output) as partial:
        writer = TileWriter(partial)
        with measured("tile_slide", tile_um=tile_um, tile_px=tile_px) as provenance:
            sample = read_annotations(ingested, INGESTED)
            tissue_image = find_image(sample, image)
            plan = plan_tiles(sample, tissue_image, tile_um, grid) if tissue_image else _empty_plan()
            for batch in _cut(tissue_image, plan, tile_um, tile_px):
                writer.write(batch)
            provenance.update(_describe(tissue_image, tile_um))
        writer.close(provenance)
    if tissue_image:
        tissue_image.slide.close()


def find_image(sample: ad.AnnData, image: str = "") -> TissueImage | None:
    """Return the best image of a sample: the given one, the recorded full-resolution one, or hires."""
    name = str(sample.uns["tissuemake"]["sample"])
    spatial = sample.uns["spatial"][name]
    scalefactors = spatial["scalefactors"]
    microns_per_pixel = float(scalefactors["microns_per_pixel"])
    recorded = str(spatial.get("metadata", {}).get("source_image_path", ""))
    if image or (recorded and Path(recorded).is_file()):
        return TissueImage(open_slide(image or recorded), 1.0, microns_per_pixel)
    for key in ("hires", "lowres"):
        picture = spatial.get("images", {}).get(key)
        if picture is not None and np.ptp(picture) > 0:  # some vendors' files hold an all-black dummy
            scale = float(scalefactors[f"tissue_{key}_scalef"])
            return TissueImage(ArraySlide(picture, f"{name} {key}"), scale, microns_per_pixel)
    return None


def plan_tiles(sample: ad.AnnData, image: TissueImage, tile_um: float, grid: bool) -> pd.DataFrame:
    """Return tile, kind, x, y (full-resolution pixels) and tissue_fraction of the tiles to cut."""
    inside = sample.obs["in_tissue"].to_numpy(bool)
    centres = np.asarray(sample.obsm["spatial"], float)[inside]
    thumbnail, downsample = image.slide.thumbnail(THUMBNAIL)
    to_mask = image.scale / downsample
    columns, rows = np.floor(centres * to_mask).astype(int).T
    mask = parts_under(tissue_mask(thumbnail), columns, rows)
    edge = tile_um / image.microns_per_pixel
    frames = [_empty_plan()]
    if sample.uns["tissuemake"].get("observation") == "spot" and len(centres) <= MOST_SPOT_TILES:
        spots = pd.DataFrame(centres, columns=["x", "y"])
        frames.append(spots.assign(tile=sample.obs_names[inside].astype(str), kind="spot"))
    if grid:
        cells = _grid(mask.shape[1] / to_mask, mask.shape[0] / to_mask, edge)
        if tile_um / image.mpp < FEWEST_SOURCE_PX:
            # Hardly a picture: only what observations can be looked up in.
            cells = cells[cells["tile"].isin(grid_cells(centres, edge))]
        frames.append(cells)
    plan = pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)
    boxes = np.column_stack([plan[axis] + half for half in (-edge / 2, edge / 2) for axis in ("x", "y")])
    plan["tissue_fraction"] = covered_fraction(mask, boxes.astype(float) * to_mask)
    return plan[(plan["kind"] == "spot") | (plan["tissue_fraction"] >= LEAST_TISSUE)]


def grid_cells(positions: np.ndarray, edge: float) -> np.ndarray:
    """Return the name of the grid tile in which each position (n, 2) lies, for tiles of `edge` pixels."""
    columns, rows = np.floor(np.asarray(positions) / edge).astype(int).T
    return np.array([f"g{row}_{column}" for row, column in zip(rows, columns, strict=True)], dtype=object)


def _grid(width: float, height: float, edge: float) -> pd.DataFrame:
    rows, columns = np.indices((ceil(height / edge), ceil(width / edge))).reshape(2, -1)
    centres = np.column_stack([columns + 0.5, rows + 0.5]) * edge
    return pd.DataFrame(centres, columns=["x", "y"]).assign(tile=grid_cells(centres, edge), kind="grid")


def _empty_plan() -> pd.DataFrame:
    return pd.DataFrame({"tile": [], "kind": [], "x": [], "y": [], "tissue_fraction": []})


def _cut(
    image: TissueImage | None, plan: pd.DataFrame, tile_um: float, tile_px: int
) -> Iterator[pd.DataFrame]:
    for start in range(0, len(plan), ROWS_IN_MEMORY):
        part = plan.iloc[start : start + ROWS_IN_MEMORY]
        jpegs = [
            encode_jpeg(read_tile(image, x, y, tile_um, tile_px))
            for x, y in zip(part["x"], part["y"], strict=True)
        ]
        yield part.assign(size_px=tile_px, size_um=tile_um, mpp=image.mpp, jpeg=jpegs)


def read_tile(image: TissueImage, x: float, y: float, tile_um: float, tile_px: int) -> np.ndarray:
    """Return the square of `tile_um` µm around (x, y) as uint8 (tile_px, tile_px, 3).

    The centre is rounded to a whole pixel of the image, so that tiles at native size are plain crops.
    """
    downsample = tile_um / tile_px / image.mpp
    half = tile_px * downsample / 2
    return image.slide.read(
        round(x * image.scale - half), round(y * image.scale - half), tile_px, tile_px, downsample
    )


def _describe(image: TissueImage | None, tile_um: float) -> dict:
    if image is None:
        return {"image": "", "note": "no image: no tiles"}
    source_px = tile_um / image.mpp
    note = ""
    if source_px < FEWEST_SOURCE_PX:
        note = f"a tile is only {source_px:.1f} pixels of the image wide; give the full-resolution image"
    return {"image": image.slide.path.name, "mpp": image.mpp, "source_px": source_px, "note": note}
