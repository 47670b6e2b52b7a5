"""Stain normalisation: different stainings become alike, white stays white, what cannot be fitted is left alone."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab

from tissuemake.errors import InputError
from tissuemake.histology.stain_normalization import METHODS, fit_normalizer
from tissuemake.histology.stains import OPTICAL_DENSITY

# Haematoxylin and eosin of two laboratories, as unit optical densities.
PURPLE = np.array([[0.56, 0.72, 0.41], [0.22, 0.80, 0.56]])
BLUE = np.array([[0.70, 0.65, 0.30], [0.10, 0.90, 0.42]])


def slide(colours, strength, glass=245, count=6):
    """Tiles of the same tissue, stained by some laboratory; a corner of each is glass."""
    rng = np.random.default_rng(0)
    tiles = []
    for _ in range(count):
        nuclei = (gaussian_filter(rng.normal(size=(96, 96)), 3) > 0.08) * 1.0
        fibres = np.abs(gaussian_filter(rng.normal(size=(96, 96)), (1, 6))) * 6
        amounts = np.stack([0.9 * gaussian_filter(nuclei, 1), 0.3 + fibres * (1 - nuclei)], axis=-1)
        amounts[:24, :24] = 0
        density = amounts * strength @ (colours / np.linalg.norm(colours, axis=1, keepdims=True))
        tiles.append(np.clip(glass * np.exp(-density), 0, 255).astype(np.uint8))
    return np.stack(tiles)


def distance(first, second):
    """Mean colour difference (CIE 1976) of the same tissue."""
    return float(np.linalg.norm(rgb2lab(first) - rgb2lab(second), axis=-1).mean())


@pytest.mark.parametrize("method", METHODS)
def test_two_laboratories_become_alike(method):
    first, second = slide(PURPLE, (1.2, 0.7)), slide(BLUE, (0.7, 1.1), glass=232)
    normalized = [
        np.stack([fit_normalizer(method, tiles)(tile) for tile in tiles]) for tiles in (first, second)
    ]
    before, after = distance(first, second), distance(*normalized)
    print(f"{method}: ΔE {before:.1f} → {after:.1f}")
    assert after < 0.5 * before
    assert distance(normalized[0], first) > 1


@pytest.mark.parametrize("method", METHODS)
def test_white_stays_white_and_glass_becomes_it(method):
    tiles = slide(PURPLE, (1.2, 0.7), glass=236)
    normalize = fit_normalizer(method, tiles)
    white = np.full((8, 8, 3), 255, np.uint8)
    np.testing.assert_array_equal(normalize(white), white)
    assert normalize(tiles[0])[:20, :20].min() > 245


@pytest.mark.parametrize("method", METHODS)
def test_blank_tiles_change_nothing_in_the_fit(method):
    tiles = slide(PURPLE, (1.2, 0.7))
    blank = np.full_like(tiles, 245)
    alone, among = fit_normalizer(method, tiles), fit_normalizer(method, np.concatenate([tiles, blank]))
    assert np.abs(alone(tiles[0]).astype(int) - among(tiles[0])).mean() < 2


def test_macenko_brings_stains_to_the_standard_colours():
    tiles = slide(BLUE, (0.7, 1.1))
    normalized = fit_normalizer("macenko", tiles)(tiles[0])
    density = OPTICAL_DENSITY[normalized].reshape(-1, 3)
    darkest = density[density.sum(1) >= np.percentile(density.sum(1), 99)].mean(0)
    assert darkest / np.linalg.norm(darkest) @ [0.5626, 0.7201, 0.4062] > 0.98


def test_what_has_no_two_stains_is_left_as_it_is_and_says_so():
    blank = np.full((4, 64, 64, 3), 244, np.uint8)
    grey = np.random.default_rng(0).integers(30, 200, (4, 64, 64, 1)).astype(np.uint8).repeat(3, -1)
    for tiles in (blank, grey):
        normalize = fit_normalizer("macenko", tiles)
        assert normalize.method == "" and normalize.note
        np.testing.assert_array_equal(normalize(tiles[0]), tiles[0])


def test_off_by_default_and_unknown_methods_are_refused():
    tiles = slide(PURPLE, (1.2, 0.7), count=1)
    np.testing.assert_array_equal(fit_normalizer("", tiles)(tiles[0]), tiles[0])
    with pytest.raises(InputError, match="vahadane"):
        fit_normalizer("vahadane", tiles)
