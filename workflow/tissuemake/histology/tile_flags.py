"""What is wrong with a tile: out of focus, or under a marker pen. Tiles are flagged, never dropped."""

import numpy as np
from PIL import Image

# Pen strokes are wide and even, nuclei are not: colours are judged on means over this many µm, in which a blue nucleus
# mixes with its cytoplasm.
PEN_UM = 4.0
# Share of a tile under pen from which it is of no use.
MOST_PEN = 0.1
# Sharpness beside the slide's typical tile below which a tile is blurred.
LEAST_FOCUS = 0.4
# Grey variance added below the fraction, so that noise on glass is not sharp.
FLAT_VARIANCE = 25.0


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
