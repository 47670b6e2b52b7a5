"""Haematoxylin and eosin of a slide, told apart by the colours that this slide's stains have.

Laboratories and scanners differ more than tissues do, so the stains' colours and strengths are measured on the slide
(Macenko et al. 2009, A method for normalizing histology slides for quantitative analysis, ISBI).
"""

from dataclasses import dataclass

import numpy as np
from skimage.color import rgb_from_hed

# Natural-logarithmic optical densities of 8-bit values.
OPTICAL_DENSITY = -np.log((np.arange(256, dtype=np.float32) + 1) / 256).astype(np.float32)
# What absorbs less in every channel is glass, or nearly.
LEAST_STAIN = 0.15
EXTREME = 1.0  # percent: the purest pixels, but for so many
STRONG = 99.0  # percentile of a stain that counts as its strength
DARKEST_GLASS = 190.0
FEWEST_PIXELS = 2000
MOST_PIXELS = 200_000
# Colours of the stains are believed when they lie this far from each other, and near those of the standard.
LEAST_ANGLE, MOST_ANGLE = np.deg2rad(15), np.deg2rad(35)
STANDARD_STRENGTH = (1.4, 0.8)
# A slide without nuclei, or without eosin, is not stretched until it has some.
LEAST_STRENGTH = (0.8, 0.3)


@dataclass(frozen=True)
class Staining:
    """How colours of a slide are turned into amounts of stain; 1 is as strong as the slide gets.

    Parameters
    ----------
    unmix
        (3, 3): haematoxylin, eosin and the rest, per optical density of R, G, B.
    glass
        (3,) the amounts that glass would have: they are taken off.
    """

    unmix: np.ndarray
    glass: np.ndarray

    def amounts(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 (3, n) of uint8 pixels (n, 3)."""
        return self.unmix @ OPTICAL_DENSITY.take(pixels).T - self.glass[:, None]


def staining_of(colours: np.ndarray, strength: tuple[float, float], glass: np.ndarray) -> Staining:
    """The staining of two `colours` (2, 3), unit optical densities of the stains, at their `strength`."""
    rest = np.cross(*colours)
    vectors = np.stack([colours[0] * strength[0], colours[1] * strength[1], rest / np.linalg.norm(rest)])
    unmix = np.linalg.inv(vectors).T.astype(np.float32)
    return Staining(unmix, unmix @ glass.astype(np.float32))


STANDARD_COLOURS = rgb_from_hed[:2] / np.linalg.norm(rgb_from_hed[:2], axis=1, keepdims=True)
# Stains of textbook colour and middling strength (Ruifrok & Johnston 2001), for a tile of an unknown slide.
STANDARD = staining_of(STANDARD_COLOURS, STANDARD_STRENGTH, np.zeros(3))


def measure_staining(tiles: np.ndarray) -> Staining:
    """Measure the staining of a slide on some of its `tiles`, uint8 (n, height, width, 3).

    Where too little is stained, or the colours are not those of haematoxylin and eosin, the textbook's are taken.
    """
    pixels = sample_pixels(tiles)
    glass = OPTICAL_DENSITY[glass_of(pixels).astype(int)]
    density = OPTICAL_DENSITY[pixels] - glass
    stained = density[density.max(axis=1) > LEAST_STAIN]
    if len(stained) < FEWEST_PIXELS:
        return staining_of(STANDARD_COLOURS, STANDARD_STRENGTH, glass)
    colours = _colours(stained)
    amounts = staining_of(colours, (1.0, 1.0), np.zeros(3)).unmix[:2] @ stained.T
    strength = np.maximum(np.percentile(amounts, STRONG, axis=1), LEAST_STRENGTH)
    return staining_of(colours, tuple(strength.tolist()), glass)


def sample_pixels(tiles: np.ndarray) -> np.ndarray:
    """Some of the pixels of `tiles` (n, height, width, 3), as (m, 3)."""
    pixels = tiles.reshape(-1, 3)
    return pixels[:: max(1, len(pixels) // MOST_PIXELS)]


def glass_of(pixels: np.ndarray) -> np.ndarray:
    """Colour (3,) of the glass of `pixels` (n, 3); where none is seen, the lightest that tissue is."""
    return np.clip(np.percentile(pixels, 99, axis=0), DARKEST_GLASS, 255)


def _colours(stained: np.ndarray) -> np.ndarray:
    """Colours (2, 3) of haematoxylin and eosin: the ends of the fan of colours in the plane of most variation."""
    _, axes = np.linalg.eigh(np.cov(stained.T))
    plane = axes[:, [2, 1]]
    plane[:, 0] *= np.sign(plane[:, 0].sum())
    angle = np.arctan2(*(stained @ plane).T[::-1])
    ends = np.percentile(angle, [EXTREME, 100 - EXTREME])
    found = np.stack([np.cos(ends), np.sin(ends)], axis=1) @ plane.T
    # Haematoxylin absorbs red, eosin hardly does.
    found = found[np.argsort(-found[:, 0])]
    apart = np.arccos(np.clip(found[0] @ found[1], -1, 1))
    off = np.arccos(np.clip((found * STANDARD_COLOURS).sum(axis=1), -1, 1))
    believed = apart >= LEAST_ANGLE and (off <= MOST_ANGLE).all()
    return found if believed else STANDARD_COLOURS
