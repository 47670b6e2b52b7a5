"""A tissue the size of a stamp: the picture with its spots, for the rows of the cohort page."""

import io
from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
from PIL import Image, ImageColor, ImageDraw

from tissuemake.contracts import UNKNOWN
from tissuemake.reporting.layers import class_layer
from tissuemake.reporting.pages import data_uri
from tissuemake.reporting.palette import MISSING, UNKNOWN_COLOUR, categorical
from tissuemake.reporting.tissue_view import as_uint8

MANY_SAMPLES = 100
BACKGROUND = (236, 239, 241)


@dataclass(frozen=True)
class Stamp:
    """How large a picture is: its side in pixels, twice what it is shown at, and what it may cost."""

    side: int = 168
    most_spots: int = 8000
    format: str = "JPEG"
    quality: int = 82

    @property
    def shown(self) -> int:
        """CSS pixels: half of the side, sharp on dense screens."""
        return self.side // 2


def stamp_for(samples: int) -> Stamp:
    """Return how to draw the pictures of a page of so many rows: above a hundred, a thousand are 3 MB together."""
    return Stamp() if samples <= MANY_SAMPLES else Stamp(80, 2000, "WEBP", 25)


def draw_thumbnail(
    adata: ad.AnnData,
    sample: str,
    classes: pd.Series | None,
    domains: pd.DataFrame | None,
    picture: Stamp | None = None,
) -> str:
    """Return a picture as ``data:`` URI: tissue under spots in the colours of their dominant type, or else domain.

    Parameters
    ----------
    adata
        Filtered spots, their counts or not.
    classes
        Dominant type per barcode, categories in the order of their colours; None without a reference.
    domains
        Contract DOMAINS, or None.
    """
    picture = picture or Stamp()
    spatial = np.asarray(adata.obsm["spatial"], dtype=float)
    space = adata.uns["spatial"].get(sample, {})
    diameter = float(space.get("scalefactors", {}).get("spot_diameter_fullres", 1.0))
    low, high = spatial.min(0) - diameter, spatial.max(0) + diameter
    scale = picture.side / max((high - low).max(), 1e-9)
    canvas = Image.new("RGB", (picture.side, picture.side), BACKGROUND)
    offset = (picture.side - (high - low) * scale) / 2
    _paste_image(canvas, space, low, high, scale, offset)
    rows = np.arange(adata.n_obs)
    if len(rows) > picture.most_spots:
        rows = np.sort(np.random.default_rng(0).choice(rows, picture.most_spots, replace=False))
    colours = _colours(adata.obs_names, classes, domains)
    draw = ImageDraw.Draw(canvas)
    radius = max(0.7, diameter * scale / 2)
    for row in rows:
        x, y = (spatial[row] - low) * scale + offset
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colours[row])
    buffer = io.BytesIO()
    canvas.save(buffer, picture.format, quality=picture.quality)
    return data_uri(buffer.getvalue(), f"image/{picture.format.lower()}")


def _paste_image(canvas: Image.Image, space: dict, low, high, scale: float, offset: np.ndarray) -> None:
    """Paste the part of the tissue image between `low` and `high` (full-resolution pixels)."""
    for name in ("lowres", "hires"):  # the smaller one does for a stamp
        pixels = space.get("images", {}).get(name)
        factor = space.get("scalefactors", {}).get(f"tissue_{name}_scalef")
        if pixels is None or factor is None or np.std(pixels) < 1e-6:
            continue
        picture = Image.fromarray(as_uint8(np.asarray(pixels)))
        size = np.maximum(1, np.round((high - low) * scale)).astype(int)
        box = tuple(float(value * factor) for value in (*low, *high))
        # `transform` fills what lies beyond the picture instead of refusing it.
        patch = picture.transform(
            tuple(size),
            Image.Transform.EXTENT,
            box,
            Image.Resampling.BILINEAR,
            fillcolor=BACKGROUND,
        )
        canvas.paste(patch, tuple(int(value) for value in np.round(offset)))
        return


def _colours(names: pd.Index, classes: pd.Series | None, domains: pd.DataFrame | None) -> list[tuple]:
    if classes is not None:
        order = [str(name) for name in classes.cat.categories]
        colours = {**dict(zip(order, categorical(len(order)), strict=True)), UNKNOWN: UNKNOWN_COLOUR}
        layer = class_layer("", classes.astype("object").reindex(names), order, colours)
    elif domains is not None and len(domains.columns):
        method = "spatial" if "spatial" in domains else domains.columns[0]
        layer = class_layer("", domains[method].reindex(names))
    else:
        return [ImageColor.getrgb(MISSING)] * len(names)
    palette = [ImageColor.getrgb(colour) for colour in (*layer.colours, MISSING)]
    return [palette[code] for code in layer.values]
