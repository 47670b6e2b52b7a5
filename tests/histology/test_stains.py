"""Staining: measured on the slide, so that another laboratory's colours give the same amounts."""

import numpy as np
import pytest

from tissuemake.histology.color import FEATURES, color_features
from tissuemake.histology.stains import STANDARD, STANDARD_COLOURS, measure_staining

PURPLE, PINK = np.array([0.72, 0.78, 0.36]), np.array([0.08, 0.72, 0.34])


def slide(purple=PURPLE, pink=PINK, strength=1.0, glass=244.0, seed=0):
    """Tiles of pale eosin with round nuclei of several darknesses, a glass corner; and the nuclei's mask."""
    rng = np.random.default_rng(seed)
    tiles, masks = [], []
    for _ in range(6):
        y, x = np.mgrid[:224, :224] * 0.5
        blue, red = np.full((224, 224), 0.03), 0.45 + 0.08 * rng.standard_normal((224, 224))
        mask = np.zeros((224, 224), bool)
        for left, top in rng.uniform(30, 110, (60, 2)):
            inside = (x - left) ** 2 + (y - top) ** 2 < 9
            blue[inside] = rng.uniform(0.7, 1.4)
            mask |= inside
        empty = (x < 25) & (y < 25)
        blue[empty] = red[empty] = 0
        density = strength * (blue[..., None] * purple + np.maximum(red, 0)[..., None] * pink)
        tiles.append(np.clip(glass * np.exp(-density), 0, 255).astype(np.uint8))
        masks.append(mask)
    return np.stack(tiles), np.stack(masks)


def turned(colour, towards, share):
    mixed = colour / np.linalg.norm(colour) + share * np.asarray(towards)
    return mixed / np.linalg.norm(mixed) * np.linalg.norm(colour)


@pytest.mark.parametrize("strength", [0.6, 1.0, 1.4])
def test_colours_and_strength_of_the_slide_are_found(strength):
    purple, pink = turned(PURPLE, (0.2, 0, 0.1), 1), turned(PINK, (0.15, 0, -0.1), 1)
    tiles, nuclei = slide(purple, pink, strength)
    amounts = measure_staining(tiles).amounts(tiles.reshape(-1, 3))
    inside = nuclei.ravel()
    # Haematoxylin is where the nuclei are, eosin is not more there than beside them, and glass is empty.
    assert amounts[0, inside].mean() > 0.6 and abs(amounts[0, ~inside].mean()) < 0.08
    assert amounts[1, ~inside].mean() == pytest.approx(0.65, abs=0.15)
    assert np.abs(amounts[:2, (tiles.reshape(-1, 3) > 240).all(axis=1)]).max() < 0.05
    assert np.percentile(amounts[0], 99) == pytest.approx(1, abs=0.1)


def test_another_laboratory_gives_nearly_the_same_features():
    ours, _ = slide()
    theirs, _ = slide(turned(PURPLE, (0.2, 0, 0.1), 1), turned(PINK, (0.15, 0, -0.1), 1), 1.4, glass=225.0)
    first = color_features(ours[0], 0.5, measure_staining(ours))
    same = color_features(theirs[0], 0.5, measure_staining(theirs))
    unmeasured = color_features(theirs[0], 0.5)
    named = np.array(
        [name.startswith(("spot_h", "tile_h", "spot_e", "tile_e", "tile_n")) for name in FEATURES]
    )
    off = np.abs(same - first)[named].mean()
    assert off < 0.12 and off < 0.5 * np.abs(unmeasured - first)[named].mean()


@pytest.mark.parametrize("value", [0, 255])
def test_a_slide_without_stain_takes_the_textbook(value):
    staining = measure_staining(np.full((2, 64, 64, 3), value, np.uint8))
    assert np.isfinite(staining.amounts(np.array([[10, 20, 30]], np.uint8))).all()


def test_a_slide_of_one_stain_takes_the_textbook_colours():
    tiles, _ = slide(strength=1.0)
    rng = np.random.default_rng(0)
    density = rng.uniform(0.2, 0.8, (4, 64, 64, 1)) * PINK
    staining = measure_staining((244 * np.exp(-density)).astype(np.uint8))
    vectors = np.linalg.inv(staining.unmix.T)[:2]
    np.testing.assert_allclose(
        vectors / np.linalg.norm(vectors, axis=1)[:, None], STANDARD_COLOURS, atol=1e-3
    )
    assert STANDARD.amounts(tiles[0].reshape(-1, 3)).shape == (3, 224 * 224)
