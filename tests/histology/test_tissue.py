"""Tissue masks: stained pixels and no others, whatever surrounds them."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from tissuemake.histology.tissue import covered_fraction, parts_under, tissue_mask

GLASS, EOSIN = (242, 240, 243), (214, 140, 190)


def slide_with_disc(background, size=400):
    """A noisy pink disc of radius 100 in the middle; returns picture and truth."""
    rng = np.random.default_rng(0)
    picture = np.full((size, size, 3), background, float)
    rows, columns = np.indices((size, size)) - size // 2
    disc = rows**2 + columns**2 < 100**2
    picture[disc] = EOSIN
    return np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8), disc


def agreement(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


@pytest.mark.parametrize("background", [GLASS, (255, 255, 255), (0, 0, 0), (225, 218, 226)])
def test_finds_tissue_on_glass_white_black_and_dim_glass(background):
    picture, disc = slide_with_disc(background)
    assert agreement(tissue_mask(picture), disc) > 0.95


def test_black_border_grey_shadow_and_specks_are_no_tissue_and_pinholes_are():
    picture, disc = slide_with_disc(GLASS)
    picture[:, :40] = 5
    picture[350:, 100:300] = 120
    picture[20:22, 200:202] = EOSIN
    picture[199:201, 199:201] = 255
    mask = tissue_mask(picture)
    assert agreement(mask, disc) > 0.95
    assert mask[200, 200]


def test_a_large_hole_stays_a_hole():
    picture, disc = slide_with_disc(GLASS)
    picture[170:230, 170:230] = GLASS
    disc[170:230, 170:230] = False
    assert agreement(tissue_mask(picture), disc) > 0.95


def test_tissue_to_the_edges_is_not_split_and_empty_glass_stays_empty():
    rng = np.random.default_rng(0)
    full = np.clip(np.array(EOSIN) + rng.normal(0, 12, (200, 200, 1)), 0, 255).astype(np.uint8)
    assert tissue_mask(full).mean() > 0.95
    glass = np.clip(np.array(GLASS) + rng.normal(0, 2, (200, 200, 3)), 0, 255).astype(np.uint8)
    assert tissue_mask(glass).mean() < 0.01
    assert not tissue_mask(np.zeros((50, 50, 3), np.uint8)).any()


def test_parts_without_spots_are_dropped():
    mask = np.zeros((50, 50), bool)
    mask[5:20, 5:20] = mask[30:45, 30:45] = True
    kept = parts_under(mask, np.array([10, -3, 99]), np.array([12, 5, 99]))
    assert kept[10, 10] and not kept[35, 35]


def test_covered_fraction_counts_tissue_in_each_box_and_none_outside():
    mask = np.zeros((10, 10), bool)
    mask[:, 5:] = True
    boxes = np.array([[0, 0, 5, 5], [5, 0, 10, 10], [3, 3, 7, 7], [8, 8, 12, 12]], float)
    np.testing.assert_allclose(covered_fraction(mask, boxes), [0, 1, 0.5, 0.25])


@pytest.mark.real
def test_her2st_a1_on_black_with_a_pasted_picture(data_dir):
    path = data_dir / "st_her2" / "images_2000px" / "A1_HE_masked_2000px.png"
    mask = tissue_mask(np.asarray(Image.open(path).convert("RGB")))
    assert not mask[1800:, :].any() and not mask[:500, :1200].any()
    assert mask[800:1450, 150:1450].mean() > 0.95


@pytest.mark.parametrize("ink", [(0.15, 0.3, 0.75), (0.1, 0.5, 0.3), (0.8, 0.12, 0.15), (0.1, 0.1, 0.11)])
def test_pen_on_glass_and_on_tissue_is_no_tissue(ink):
    picture, disc = slide_with_disc(GLASS)
    stroke = np.zeros_like(disc)
    stroke[200:210] = stroke[:, 30:42] = True
    picture[stroke] = np.rint(picture[stroke] * ink)
    mask = tissue_mask(picture)
    assert not mask[stroke].any()
    assert agreement(mask, disc & ~stroke) > 0.9


def test_folds_blur_and_pale_tissue_are_tissue():
    picture, disc = slide_with_disc(GLASS)
    picture[150:160][disc[150:160]] = np.rint(picture[150:160][disc[150:160]] ** 2.0 / 245)  # twice as thick
    assert agreement(tissue_mask(picture), disc) > 0.95
    soft = gaussian_filter(picture, (4, 4, 0))
    assert agreement(tissue_mask(soft), disc) > 0.9
    pale = np.rint(np.array(GLASS) - (np.array(GLASS) - picture.astype(float)) * 0.45).clip(0, 255)
    assert agreement(tissue_mask(pale.astype(np.uint8)), disc) > 0.9


def test_pixels_of_odd_colour_make_no_holes():
    picture, disc = slide_with_disc(GLASS)
    rng = np.random.default_rng(1)
    rows, columns = rng.integers(140, 260, (2, 200))
    picture[rows, columns] = (40, 70, 160)
    assert agreement(tissue_mask(picture), disc) > 0.95
