"""Flags of tiles: synthetic blur, ink and folds are told from simulated and real tissue."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from tissuemake.histology.slide import open_slide
from tissuemake.histology.tile_flags import (
    LEAST_FOCUS,
    MOST_FOLD,
    MOST_PEN,
    fold_limit,
    fold_share,
    pen_pixels,
    pen_share,
    sharpness,
)
from tissuemake.histology.tissue import covered_fraction, tissue_mask
from tissuemake.simulate.staining import _colour, render
from tissuemake.simulate.tissue import place_cells, simulate_section

MPP = 0.5
# Share of light that each ink lets through, red, green, blue.
INKS = {
    "blue": (0.15, 0.3, 0.75),
    "green": (0.1, 0.5, 0.3),
    "red": (0.8, 0.12, 0.15),
    "black": (0.1, 0.1, 0.11),
}


def simulated(count=12):
    """Tiles of nuclei in fibrous eosin, of different cell number and strength of stain."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:224, :224] * MPP
    tiles = []
    for number in range(count):
        blue = np.full((224, 224), 0.05)
        for left, top in rng.uniform(0, 112, (10 + 8 * number, 2)):
            blue[np.hypot(x - left, y - top) < rng.uniform(2, 4)] = rng.uniform(0.5, 1.2)
        pink = 0.2 + 0.5 * rng.random() + gaussian_filter(rng.normal(0, 0.3, (224, 224)), (1, 4))
        tiles.append(_colour(blue.astype(np.float32), pink.clip(0).astype(np.float32)))
    return np.stack(tiles)


def real(path, mpp, count=16):
    """Tiles of tissue, spread over a slide."""
    edge = 112 / mpp
    with open_slide(path) as slide:
        thumbnail, downsample = slide.thumbnail(500)
        corners = np.random.default_rng(0).uniform(0, np.array(slide.dimensions) - edge, (500, 2))
        boxes = np.hstack([corners, corners + edge]) / downsample
        chosen = corners[covered_fraction(tissue_mask(thumbnail), boxes) > 0.7][:count]
        return np.stack([slide.read(x, y, 224, 224, MPP / mpp) for x, y in chosen])


def of_section(zones):
    """All tiles that are mostly tissue of a simulated section, 0.5 µm per pixel."""
    section = simulate_section(0, 80, zones)
    picture = render(section, place_cells(section, 0), 0, mpp=MPP)
    mask = tissue_mask(picture[::16, ::16])
    starts = np.arange(0, len(picture) - 224, 224)
    corners = np.stack(np.meshgrid(starts, starts), axis=-1).reshape(-1, 2)
    inside = covered_fraction(mask, np.hstack([corners, corners + 224]) / 16) > 0.5
    return np.stack([picture[y : y + 224, x : x + 224] for x, y in corners[inside]])


def folded(tiles, layers, um=40.0):
    """A band of each tile, at any angle, on which tissue lies `layers` times, a little out of focus."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:224, :224] * MPP - 56
    found = []
    for tile in tiles:
        angle, off = rng.uniform(0, np.pi), rng.uniform(-20, 20)
        across = x * np.cos(angle) + y * np.sin(angle) - off
        inside = 1 / (1 + np.exp((np.abs(across) - um / 2) / 1.5))[..., None]
        light = tile / 250
        other = light[::-1, ::-1] * (light[::-1] if layers == 3 else 1)
        twice = gaussian_filter((tile * other).clip(0, 255), (2, 2, 0))
        found.append(np.rint(tile * (1 - inside) + twice * inside).clip(0, 255))
    return np.stack(found).astype(np.uint8)


def check_folds(tiles, caught, most=0.02):
    """Three layers, as of a pleat, and two, as of an edge turned over; `caught` is of the pleats."""
    limit = fold_limit(tiles[::3], MPP)
    clean = np.array([fold_share(tile, MPP, limit) for tile in tiles])
    print(f"limit {limit:.2f}; {(clean >= MOST_FOLD).mean():.1%} of {len(tiles)} flagged, no fold on them")
    assert (clean >= MOST_FOLD).mean() <= most
    for layers, least in ((2, 0.0), (3, caught)):
        share = np.array([fold_share(tile, MPP, limit) for tile in folded(tiles, layers)])
        auroc = roc_auc_score(np.repeat([0, 1], len(tiles)), np.concatenate([clean, share]))
        print(f"{layers} layers: AUROC {auroc:.3f}, {(share >= MOST_FOLD).mean():.0%} flagged")
        assert (share >= MOST_FOLD).mean() >= least


def blurred(tiles, um):
    return np.stack([gaussian_filter(tile, (um / MPP, um / MPP, 0)) for tile in tiles])


def stroke(tiles, ink):
    """A stroke over the left 36 µm of each tile."""
    marked = tiles.copy()
    marked[:, :, :72] = np.rint(tiles[:, :, :72] * ink)
    return marked


def check_focus(tiles, caught):
    sharp = np.array([sharpness(tile) for tile in tiles])
    for um in (1.0, 2.0, 4.0):
        soft = np.array([sharpness(tile) for tile in blurred(tiles, um)])
        auroc = roc_auc_score(np.repeat([1, 0], len(tiles)), np.concatenate([sharp, soft]))
        found = (soft / np.median(sharp) < LEAST_FOCUS).mean()
        print(f"blur of {um} µm: AUROC {auroc:.3f}, {found:.0%} flagged")
        assert auroc > 0.99 and found >= caught
    assert (sharp / np.median(sharp) < LEAST_FOCUS).mean() < 0.03


def check_pen(tiles):
    clean = np.array([pen_share(tile, MPP) for tile in tiles])
    assert clean.max() < MOST_PEN
    for name, ink in INKS.items():
        marked = np.array([pen_share(tile, MPP) for tile in stroke(tiles, ink)])
        auroc = roc_auc_score(np.repeat([0, 1], len(tiles)), np.concatenate([clean, marked]))
        print(f"{name}: AUROC {auroc:.3f}, {(marked >= MOST_PEN).mean():.0%} flagged")
        assert auroc > 0.99 and (marked >= MOST_PEN).mean() > 0.95


def test_blur_and_ink_are_told_from_simulated_tissue():
    tiles = simulated()
    check_focus(tiles, caught=1.0)
    check_pen(tiles)


@pytest.mark.parametrize("zones", ["layered", "infiltrated"])
def test_folds_are_told_from_simulated_tissue(zones):
    check_folds(of_section(zones), caught=0.5)


def test_a_slide_without_spread_calls_nothing_folded_that_is_not_clearly_denser():
    tile = np.full((224, 224, 3), (200, 130, 180), np.uint8)
    limit = fold_limit([tile] * 5, MPP)
    denser = np.rint(tile * (tile / 250) ** 0.3).astype(np.uint8)
    thrice = np.rint(tile * (tile / 250) ** 2).astype(np.uint8)
    assert fold_share(denser, MPP, limit) == 0 and fold_share(thrice, MPP, limit) == 1


def test_blanked_background_and_scattered_nuclei_are_no_fold():
    rng = np.random.default_rng(0)
    limit = fold_limit([np.full((224, 224, 3), (225, 190, 215), np.uint8)], MPP)
    assert fold_share(np.zeros((224, 224, 3), np.uint8), MPP, limit) == 0
    y, x = np.mgrid[:224, :224] * MPP
    tile = np.full((224, 224, 3), (225, 190, 215), np.uint8)
    for left, top in rng.uniform(0, 112, (60, 2)):
        tile[np.hypot(x - left, y - top) < 4] = (70, 40, 120)
    assert 0.2 < (tile[..., 0] == 70).mean() < 0.5
    assert fold_share(tile, MPP, limit) < 0.02
    assert fold_share(np.full((224, 224, 3), (70, 40, 120), np.uint8), MPP, limit) == 1


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "mpp"),
    [("st_her2/images/C2_5714_HE_BT_C2.jpg", 0.688), ("wsi/CMU-1-Small-Region.svs", 0.499)],
)
def test_blur_and_ink_are_told_from_real_tissue(data_dir, name, mpp):
    tiles = real(data_dir / name, mpp)
    if "st_her2" in name:
        check_folds(real(data_dir / name, mpp, count=100), caught=0.6)
    check_focus(tiles, caught=0.85)
    check_pen(tiles)


def test_sharpness_is_of_the_focus_not_of_the_stain():
    tile = simulated(4)[3]
    pale = np.rint(255 - (255 - tile) * 0.5).astype(np.uint8)
    assert sharpness(pale) == pytest.approx(sharpness(tile), rel=0.15)
    assert sharpness(np.full((64, 64, 3), 240, np.uint8)) == 0


def test_white_glass_blanked_background_and_blood_are_not_under_pen():
    for colour in (
        (255, 255, 255),
        (240, 238, 242),
        (0, 0, 0),
        (150, 35, 70),
        (70, 60, 130),
        (235, 150, 200),
    ):
        assert not pen_pixels(np.full((4, 4, 3), colour, np.uint8)).any(), colour


def test_a_tile_of_few_or_large_pixels_is_judged_too():
    green = np.full((16, 16, 3), (20, 120, 60), np.uint8)
    assert pen_share(green, 7.0) == 1.0 and pen_share(green, 0.1) == 1.0
    assert fold_share(green, 7.0, -0.5) == 1.0 and fold_share(green, 0.1, 1.0) == 0
