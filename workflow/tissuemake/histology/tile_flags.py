"""What is wrong with a tile: out of focus, under a marker pen, or folded. Tiles are flagged, never dropped."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

# Pen strokes are wide and even, nuclei are not: colours are judged on means over this many µm, in which a blue nucleus
# mixes with its cytoplasm.
PEN_UM = 4.0
# Share of a tile under pen from which it is of no use.
MOST_PEN = 0.1
# Sharpness beside the slide's typical tile below which a tile is blurred.
LEAST_FOCUS = 0.4
# Grey variance added below the fraction, so that noise on glass is not sharp.
FLAT_VARIANCE = 25.0
# A fold is dark throughout: in a square of this many µm, seen in pixels of so many, single tissue has a paler spot.
FOLD_UM, FOLD_PIXEL_UM = 24.0, 4.0
# Share of a tile that is folded from which it is of no use.
MOST_FOLD = 0.15
# How far above the slide's typical tile tissue is folded: so many median deviations of tiles, and at least so much.
FOLD_DEVIATIONS, LEAST_FOLD_STEP = 5.0, 0.3


def sharpness(tile: np.ndarray) -> float:
    """Standard deviation of the Laplacian over that of the grey values of uint8 (h, w, 3).

    The contrast that blur does not take away is divided out: pale fat and dark lymphocytes, both in focus, are nearer
    to each other than to themselves blurred.
    """
    grey = np.asarray(Image.fromarray(tile).convert("L")).astype(np.int16)
    centre = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * centre
    return float(np.sqrt(laplacian.var(dtype=np.float32) / (centre.var(dtype=np.float32) + FLAT_VARIANCE)))


def pen_pixels(rgb: np.ndarray) -> np.ndarray:
    """Which pixels, uint8 or float (h, w, 3) of 4 µm or more, have colours of marker ink and not of H&E.

    Haematoxylin and eosin absorb green most: what is greener than red is ink, and so is blue of a purity that blue
    haematoxylin does not reach, red that absorbs blue as much as green (blood does not), and grey nearly black. A
    blanked-out background (black) is none.
    """
    red, green, blue = np.moveaxis(rgb.astype(np.int16), -1, 0)
    lightest, darkest = rgb.max(axis=-1).astype(np.int16), rgb.min(axis=-1).astype(np.int16)
    others = np.maximum(green, blue)
    greenish = (green - red > 12) & (green - blue > -0.35 * (lightest - red)) & (lightest - darkest > 25)
    bluish = ((blue - red > 75) & (green - red > 8)) | ((red < 40) & (blue - red > 65))
    reddish = (red - others > 60) & (others < 100) & (2 * blue < 3 * green + 20)
    blackish = (lightest >= 12) & (lightest < 75) & (lightest - darkest < 22)
    return greenish | bluish | reddish | blackish


def pen_share(tile: np.ndarray, pixel_um: float) -> float:
    """Share of a tile, uint8 (h, w, 3) of `pixel_um` µm per pixel, that is under pen."""
    step = min(max(1, round(PEN_UM / pixel_um)), *tile.shape[:2])
    return float(pen_pixels(np.asarray(Image.fromarray(tile).reduce(step))).mean())


def density(tile: np.ndarray, pixel_um: float) -> np.ndarray:
    """Saturation minus intensity, -1 to 1, of the palest spot of the densest square of `FOLD_UM` around each pixel.

    Where tissue lies on itself both stains absorb twice: it is darker and purer in colour at once (Bautista & Yagi
    2009, 10.1109/IEMBS.2009.5334529; Kothari et al. 2013, 10.4103/2153-3539.117448, whose measure this is). So are
    nuclei, but there is paler tissue between them, which the opening finds. A blanked-out background is pale.

    Returns
    -------
    numpy.ndarray
        float32, in pixels of `FOLD_PIXEL_UM`.
    """
    step = min(max(1, round(FOLD_PIXEL_UM / pixel_um)), *tile.shape[:2])
    rgb = np.asarray(Image.fromarray(tile).reduce(step)).astype(np.float32) / 255
    intensity = rgb.mean(axis=-1)
    difference = 1 - rgb.min(axis=-1) / np.maximum(intensity, 1e-3) - intensity
    difference[rgb.max(axis=-1) < 12 / 255] = -1
    size = min(max(1, round(FOLD_UM / (step * pixel_um))), *difference.shape)
    return ndimage.grey_opening(difference, size=(size, size))


def fold_limit(tiles: Sequence[np.ndarray], pixel_um: float) -> float:
    """The `density` from which tissue of a slide is folded, of some of its tiles without pen.

    Slides differ in stain more than folds from tissue. Few tiles are folded, so what is typical is not.
    """
    densest = [np.quantile(density(tile, pixel_um), 1 - MOST_FOLD) for tile in tiles]
    typical = np.median(densest)
    deviation = np.median(np.abs(densest - typical))
    return float(typical + max(FOLD_DEVIATIONS * deviation, LEAST_FOLD_STEP))


def fold_share(tile: np.ndarray, pixel_um: float, limit: float) -> float:
    """Share of a tile, uint8 (h, w, 3) of `pixel_um` µm per pixel, that is denser than the slide's `fold_limit`."""
    return float((density(tile, pixel_um) > limit).mean())
