"""Where the tissue is, on a thumbnail of an H&E slide."""

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label
from skimage.morphology import disk

from tissuemake.histology.tile_flags import pen_pixels

# Optical density at which stain begins: Otsu's value is kept between these, so that a slide all tissue is not
# split into dark and pale tissue, and a slide without tissue stays empty.
STAIN_RANGE = (0.06, 0.10)
# Below this brightness in every channel a pixel was blanked out; haematoxylin never is that dark when shrunk.
BLANKED = 40
# Grey of any darkness (shadows, glass edges, pen) is no stain; of 255.
LEAST_COLOUR = 8
# Specks and holes smaller than this share of the thumbnail are dropped and filled.
SMALLEST_PART = 3e-4
# A stroke is at least this share of the thumbnail.
SMALLEST_STROKE = 1e-4
# Around ink, where it mixes with glass or tissue to colours of neither.
PEN_RIM = 2


def tissue_mask(rgb: np.ndarray) -> np.ndarray:
    """Return which pixels of a thumbnail show stained tissue.

    Otsu's threshold on the optical density of the most absorbing channel, against the brightness of the
    glass. Blanked (black) and colourless pixels and those under marker ink are never tissue; small holes are, and so
    are folds. Tissue out of focus is tissue; that is for `tile_flags` to tell.

    Parameters
    ----------
    rgb
        uint8 of shape (height, width, 3); some 5 to 20 µm per pixel serve well.

    Returns
    -------
    numpy.ndarray
        bool of shape (height, width).
    """
    darkest, brightest = rgb.min(axis=2), rgb.max(axis=2)
    visible = (brightest >= BLANKED) & ~_under_pen(rgb)
    if not visible.any():
        return np.zeros(rgb.shape[:2], bool)
    glass = max(float(np.percentile(darkest[visible], 99)), 180.0)
    density = np.clip(-np.log10((darkest.astype(np.float32) + 1) / (glass + 1)), 0, None)
    threshold = float(np.clip(_otsu(density[visible]), *STAIN_RANGE))
    stained = visible & (density > threshold) & (brightest.astype(int) - darkest > LEAST_COLOUR)
    stained = ndimage.binary_closing(stained, disk(2), border_value=0) & visible
    least = max(4, round(stained.size * SMALLEST_PART))
    stained = _without_small(stained, least)
    return ~_without_small(~stained, least) & visible


def _under_pen(rgb: np.ndarray) -> np.ndarray:
    """Strokes of ink with their rim; specks of odd colour (pigment, dust, a dense nucleus) are none."""
    ink = _without_small(pen_pixels(rgb), max(4, round(rgb.shape[0] * rgb.shape[1] * SMALLEST_STROKE)))
    return ndimage.binary_dilation(ink, disk(PEN_RIM)) if ink.any() else ink


def parts_under(mask: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Keep the connected parts of `mask` that hold at least one of the given pixels.

    Fiducial frames, labels and pasted insets are coloured too; no spot lies on them.
    """
    parts = label(mask, connectivity=2)
    inside = (columns >= 0) & (rows >= 0) & (columns < mask.shape[1]) & (rows < mask.shape[0])
    wanted = np.unique(parts[rows[inside], columns[inside]])
    return np.isin(parts, wanted[wanted > 0])


def covered_fraction(mask: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the share of each box that is tissue; outside of the mask there is none.

    Parameters
    ----------
    mask
        bool of shape (height, width).
    boxes
        (n, 4) left, top, right, bottom in mask pixels.
    """
    sums = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = mask.shape
    left, right = (np.clip(np.rint(boxes[:, i]), 0, width).astype(int) for i in (0, 2))
    top, bottom = (np.clip(np.rint(boxes[:, i]), 0, height).astype(int) for i in (1, 3))
    right, bottom = np.maximum(right, left), np.maximum(bottom, top)
    tissue = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    area = (np.rint(boxes[:, 2]) - np.rint(boxes[:, 0])) * (np.rint(boxes[:, 3]) - np.rint(boxes[:, 1]))
    return tissue / np.maximum(area, 1)


def _otsu(values: np.ndarray) -> float:
    return float(threshold_otsu(values)) if np.ptp(values) > 0 else float(values[0])


def _without_small(mask: np.ndarray, least: int) -> np.ndarray:
    parts = label(mask, connectivity=1)
    sizes = np.bincount(parts.ravel())
    keep = sizes >= least
    keep[0] = False
    return keep[parts]
