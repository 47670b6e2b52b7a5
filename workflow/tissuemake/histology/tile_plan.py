"""Which tiles a sample gets: one around every spot, and a grid over the tissue."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.errors import InputError
from tissuemake.histology.image import Slide
from tissuemake.histology.readers import ArraySlide
from tissuemake.histology.slide import open_slide
from tissuemake.histology.tissue import covered_fraction, parts_under, tissue_mask

THUMBNAIL = 2000
# A grid cell with less tissue than this is glass.
LEAST_TISSUE = 0.25
# Cells and bins lie closer than a tile is wide: their tiles would be the same picture many times over.
MOST_SPOT_TILES = 20_000
FEWEST_SOURCE_PX = 16
MOST_OVERLAP = 0.9


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


def plan_tiles(
    sample: ad.AnnData, image: TissueImage, tile_um: float, *, grid: bool = True, overlap: float = 0.0
) -> pd.DataFrame:
    """Return tile, kind, x, y (full-resolution pixels) and tissue_fraction of the tiles to cut.

    Raises
    ------
    InputError
        ``bad_overlap`` unless it is a share of the edge from 0 to 0.9.
    """
    if not 0 <= overlap <= MOST_OVERLAP:
        raise InputError(
            "bad_overlap",
            f"Tiles cannot overlap by {overlap} of their edge.",
            f"Give a share from 0 to {MOST_OVERLAP} (config: tiles.overlap; command line: --overlap).",
        )
    inside = sample.obs["in_tissue"].to_numpy(bool)
    centres = np.asarray(sample.obsm["spatial"], float)[inside]
    thumbnail, downsample = image.slide.thumbnail(THUMBNAIL)
    to_mask = image.scale / downsample
    columns, rows = np.floor(centres * to_mask).astype(int).T
    mask = parts_under(tissue_mask(thumbnail), columns, rows)
    edge = tile_um / image.microns_per_pixel
    frames = [empty_plan()]
    if sample.uns["tissuemake"].get("observation") == "spot" and len(centres) <= MOST_SPOT_TILES:
        spots = pd.DataFrame(centres, columns=["x", "y"])
        frames.append(spots.assign(tile=sample.obs_names[inside].astype(str), kind="spot"))
    if grid:
        cells = _grid(mask.shape[1] / to_mask, mask.shape[0] / to_mask, edge, overlap)
        if tile_um / image.mpp < FEWEST_SOURCE_PX:
            # Hardly a picture: only what observations can be looked up in.
            cells = cells[cells["tile"].isin(grid_cells(centres, edge, overlap))]
        frames.append(cells)
    plan = pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)
    boxes = np.column_stack([plan[axis] + half for half in (-edge / 2, edge / 2) for axis in ("x", "y")])
    plan["tissue_fraction"] = covered_fraction(mask, boxes.astype(float) * to_mask)
    return plan[(plan["kind"] == "spot") | (plan["tissue_fraction"] >= LEAST_TISSUE)]


def empty_plan() -> pd.DataFrame:
    """A plan without tiles."""
    return pd.DataFrame({"tile": [], "kind": [], "x": [], "y": [], "tissue_fraction": []})


def grid_cells(positions: np.ndarray, edge: float, overlap: float = 0.0) -> np.ndarray:
    """Return the name of the grid tile whose middle is nearest to each position (n, 2), for tiles of `edge` pixels.

    Without overlap that is the tile in which it lies.
    """
    step = edge * (1 - overlap)
    # The middle of tile i stands at i * step + edge / 2.
    numbers = np.floor((np.asarray(positions, float) - (edge - step) / 2) / step).astype(int)
    columns, rows = np.maximum(numbers, 0).T
    return np.array([f"g{row}_{column}" for row, column in zip(rows, columns, strict=True)], dtype=object)


def _grid(width: float, height: float, edge: float, overlap: float) -> pd.DataFrame:
    step = edge * (1 - overlap)
    across, down = (ceil(max(0.0, (size - edge) / step - 1e-9)) + 1 for size in (width, height))
    rows, columns = np.indices((down, across)).reshape(2, -1)
    names = [f"g{row}_{column}" for row, column in zip(rows, columns, strict=True)]
    return pd.DataFrame(
        {"x": columns * step + edge / 2, "y": rows * step + edge / 2, "tile": names, "kind": "grid"}
    )
