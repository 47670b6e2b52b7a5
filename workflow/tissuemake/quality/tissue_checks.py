"""Does tissue lie under the spots that are called tissue, the right way round?"""

import numpy as np
import pandas as pd

from tissuemake.ingest.base import Reader
from tissuemake.ingest.images import thumbnail
from tissuemake.quality.verdict import Verdict

# Bare glass in a stained section: nearly white and without colour. On real sections at hand at most 6 % of
# the spots under tissue look so, 12 % in one with much fat; dark (fluorescence) images never do.
GLASS_SATURATION, GLASS_VALUE = 0.06, 0.8
MOST_ON_GLASS = 0.5


def check_tissue(verdict: Verdict, reader: Reader, positions: pd.DataFrame) -> None:
    """Warn when spots stand mirrored or mostly on glass: other ways to see exchanged columns or sections."""
    if reader.lattice == "hexagonal" and is_mirrored(positions):
        verdict.warn(
            "mirrored_positions",
            f"{reader.where(reader.row.path)}: array columns run the other way round than pixel columns, as if "
            "pxl_row and pxl_col were exchanged.",
            "Look at the quality figure; if spots miss the tissue, restore the positions file. A mirrored "
            "image that Space Ranger aligned needs nothing.",
        )
    on_glass = share_on_glass(reader, positions)
    if on_glass > MOST_ON_GLASS:
        verdict.warn(
            "spots_on_glass",
            f"{reader.where(reader.row.path)}: {on_glass:.0%} of the {reader.observation}s called tissue lie on "
            "bare glass in the image.",
            "Look at the quality figure; image or positions are probably of another section.",
        )


def is_mirrored(positions: pd.DataFrame) -> bool:
    """Whether (array column, array row) and (x, y) differ in handedness; not on all slides seen so far."""
    if len(positions) < 3 or not {"array_row", "array_col"} <= set(positions):
        return False
    array = positions[["array_col", "array_row"]].to_numpy(float)
    pixels = positions[["x", "y"]].to_numpy(float)
    slopes, *_ = np.linalg.lstsq(array - array.mean(0), pixels - pixels.mean(0), rcond=None)
    # Spots in one row determine no handedness: the determinant is then zero but for rounding.
    return bool(np.linalg.det(slopes) < -0.01 * (slopes**2).sum())


def share_on_glass(reader: Reader, positions: pd.DataFrame) -> float:
    """Share of the spots in tissue whose centre looks like bare glass; 0 without an image."""
    found = _picture(reader)
    inside = positions.loc[positions["in_tissue"].to_numpy(bool), ["x", "y"]].to_numpy(float)
    if found is None or not len(inside):
        return 0.0
    picture, scale = found
    col, row = np.floor(inside * scale).astype(int).T
    on_image = (col >= 0) & (row >= 0) & (col < picture.shape[1]) & (row < picture.shape[0])
    colors = picture[row[on_image], col[on_image]].astype(float)
    brightest = colors.max(axis=1)
    saturation = (brightest - colors.min(axis=1)) / np.maximum(brightest, 1)
    glass = (saturation < GLASS_SATURATION) & (brightest > 255 * GLASS_VALUE)
    return float(glass.mean()) if glass.size else 0.0


def _picture(reader: Reader) -> tuple[np.ndarray, float] | None:
    """A scaled image and its pixels per full-resolution pixel."""
    factors = reader.scalefactors()
    for name, image in reader.vendor_images().items():
        if f"tissue_{name}_scalef" in factors and image.min() < image.max():
            return image, factors[f"tissue_{name}_scalef"]
    if reader.image_path:
        image = thumbnail(reader.image_path)
        return image, image.shape[1] / reader.image_size()[0]
    return None
