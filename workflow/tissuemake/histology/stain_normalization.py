"""One staining for all slides: a slide's colours brought to a standard, fitted once per slide on its tissue.

Macenko et al. 2009 (stain vectors and strengths) or Reinhard et al. 2001 (mean and spread in LAB), by torchstain.
Both map a colour to a colour, so that a slide's fit becomes one table that PIL looks up.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from tissuemake.errors import InputError
from tissuemake.histology.stains import LEAST_ANGLE, LEAST_STAIN, MOST_ANGLE, glass_of, sample_pixels

FEWEST_PIXELS = 2000
# Entries of the table per channel; PIL interpolates between them.
SIDE = 33
# The standard of Reinhard's method: CIELAB mean and standard deviation of tissue (L* 0 to 100), rounded from what real
# slides have after Macenko's method with the standard that torchstain holds, that of Macenko's own implementation.
LAB_MEAN = (66.0, 21.0, -10.0)
LAB_SD = (16.0, 6.5, 6.0)
# torchstain's LAB is scaled as OpenCV's.
LAB_SCALE, LAB_SHIFT = np.array([2.55, 1.0, 1.0]), np.array([0.0, 128.0, 128.0])

Recolor = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class StainNormalizer:
    """Brings tiles of one slide to the standard staining; white glass becomes and stays white.

    Attributes
    ----------
    method
        ``macenko`` or ``reinhard``, or empty when nothing is changed.
    note
        Why nothing is changed although it was asked for.
    """

    method: str = ""
    note: str = ""
    table: ImageFilter.Color3DLUT | None = None

    def __call__(self, tile: np.ndarray) -> np.ndarray:
        """Return uint8 (h, w, 3) in standard colours."""
        return tile if self.table is None else np.asarray(Image.fromarray(tile).filter(self.table))


def fit_normalizer(method: str, tiles: np.ndarray) -> StainNormalizer:
    """Fit on `tiles` of a slide's tissue, uint8 (n, h, w, 3); blank ones among them do no harm.

    Parameters
    ----------
    method
        A key of `METHODS`, or empty for no normalisation.

    Raises
    ------
    InputError
        ``unknown_method``.
    """
    if not method:
        return StainNormalizer()
    if method not in METHODS:
        raise InputError(
            "unknown_method",
            f"The stain normalization '{method}' is unknown.",
            f"Choose among {', '.join(METHODS)} (config: tiles.stain_normalization; command line: "
            "--stain-normalization), or leave it out.",
        )
    pixels = sample_pixels(tiles)
    glass = glass_of(pixels)
    # Bright glass of any tint becomes white before colours are compared.
    pixels = _to_white(pixels, glass)
    stained = pixels[_density(pixels).max(axis=1) > LEAST_STAIN]
    if len(stained) < FEWEST_PIXELS:
        return StainNormalizer(note="too little is stained to tell its colours; left as they are")
    recolor = METHODS[method](stained)
    if recolor is None:
        note = "the colours are not those of haematoxylin and eosin; left as they are"
        return StainNormalizer(note=note)
    return StainNormalizer(method, "", _table(recolor, glass))


def _macenko(stained: np.ndarray) -> Recolor | None:
    from torchstain.numpy.normalizers import NumpyMacenkoNormalizer

    found = NumpyMacenkoNormalizer()
    standard, standard_strength = found.HERef, found.maxCRef
    found.fit(np.rint(stained).astype(np.uint8)[:, None], Io=256)
    apart = np.arccos(np.clip(found.HERef[:, 0] @ found.HERef[:, 1], -1, 1))
    off = np.arccos(np.clip((found.HERef * standard).sum(axis=0), -1, 1))
    if apart < LEAST_ANGLE or (off > MOST_ANGLE).any() or (found.maxCRef <= 0).any():
        return None
    mixed = standard @ np.diag(standard_strength / found.maxCRef) @ np.linalg.pinv(found.HERef)
    return lambda colours: 256 * np.exp(-_density(colours) @ mixed.T) - 1


def _reinhard(stained: np.ndarray) -> Recolor:
    from torchstain.numpy.utils.lab2rgb import lab2rgb
    from torchstain.numpy.utils.rgb2lab import rgb2lab

    lab = rgb2lab(stained / 255)
    mean, sd = lab.mean(axis=0), np.maximum(lab.std(axis=0), 1.0)
    aim, spread = np.array(LAB_MEAN) * LAB_SCALE + LAB_SHIFT, np.array(LAB_SD) * LAB_SCALE

    def recolor(colours: np.ndarray) -> np.ndarray:
        moved = lab2rgb((rgb2lab(colours / 255) - mean) / sd * spread + aim) * 255
        # Glass has no place in the means: what is hardly stained is hardly moved.
        weight = np.clip(_density(colours).max(axis=-1, keepdims=True) / LEAST_STAIN, 0, 1)
        return weight * moved + (1 - weight) * colours

    return recolor


METHODS: dict[str, Callable[[np.ndarray], Recolor | None]] = {"macenko": _macenko, "reinhard": _reinhard}


def _density(colours: np.ndarray) -> np.ndarray:
    """Optical density before white glass."""
    return -np.log((np.asarray(colours, float) + 1) / 256)


def _to_white(colours: np.ndarray, glass: np.ndarray) -> np.ndarray:
    return np.clip(colours * (255 / glass), 0, 255)


def _table(recolor: Recolor, glass: np.ndarray) -> ImageFilter.Color3DLUT:
    """`recolor` at `SIDE`³ colours, red varying fastest, as PIL wants it."""
    steps = np.linspace(0, 255, SIDE)
    blue, green, red = (axis.ravel() for axis in np.meshgrid(steps, steps, steps, indexing="ij"))
    colours = recolor(_to_white(np.stack([red, green, blue], axis=1), glass))
    return ImageFilter.Color3DLUT(SIDE, (np.clip(colours, 0, 255) / 255).astype(np.float32).ravel())
