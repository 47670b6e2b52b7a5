"""Colour, texture and nuclei of an H&E tile as numbers: an encoder that needs no training.

Nuclei are the connected parts of strong haematoxylin. Everything is measured twice: in the circle of a Visium spot
in the middle of the tile, where the counted cells lie, and over the whole tile.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.feature import graycomatrix, graycoprops
from skimage.filters import threshold_otsu

from tissuemake.histology.stains import STANDARD, Staining

SPOT_UM = 55.0
# Finer pixels are shrunk to this: small nuclei are 5 µm wide.
FINEST_MPP = 0.5
REGIONS = ("spot", "tile")
STAINS = ("haematoxylin", "eosin")
PERCENTILES = (10, 50, 90)
# Amounts of stain: 1 is as strong as the slide gets.
NUCLEAR_THRESHOLD = (0.25, 0.5)
CLEAR = 0.12
LEAST_NUCLEUS_UM2 = 6.0
# Nuclei are counted in soft bins around these: what lies between two belongs to both in part.
AREA_UM2 = {"small": 20.0, "medium": 45.0, "large": 90.0}
ELONGATION = {"round": 1.2, "long": 2.8}
DENSITY = {"pale": 0.4, "stained": 0.65, "dark": 0.9}
SURROUND_UM = 4.0
GREY_LEVELS = 16
LEVELS_PER_UNIT = 170.0  # stains are kept in 256 levels, up to 1.5
OFFSETS_UM = (1.0, 4.0)
TEXTURES = ("contrast", "homogeneity", "correlation")

_LEVEL = (np.arange(256) + 0.5) / LEVELS_PER_UNIT


def _names() -> tuple[str, ...]:
    measures = [
        f"{stain}_{what}" for stain in STAINS for what in ("mean", "sd", *(f"p{p}" for p in PERCENTILES))
    ]
    measures += ["residual_mean", "clear_share", "nuclear_share", "cytoplasm_haematoxylin", "cytoplasm_eosin"]
    measures += ["nuclei_per_1000_um2"]
    measures += [f"nuclei_{size}" for size in AREA_UM2]
    measures += [f"nuclei_{shape}_{density}" for shape in ELONGATION for density in DENSITY]
    measures += ["nuclei_alignment", "nuclei_surround_haematoxylin", "nuclei_surround_eosin"]
    textures = [f"{stain}_{what}_{um:g}_um" for stain in STAINS for um in OFFSETS_UM for what in TEXTURES]
    return tuple([f"{region}_{name}" for region in REGIONS for name in measures] + textures)


FEATURES = _names()


def color_features(tile: np.ndarray, mpp: float, staining: Staining = STANDARD) -> np.ndarray:
    """Return the `FEATURES` of one tile, float32.

    Parameters
    ----------
    tile
        uint8 of shape (height, width, 3).
    mpp
        µm per pixel of the tile.
    staining
        That of its slide; all amounts of stain are relative to it.
    """
    factor = max(1, int(FINEST_MPP / mpp + 1e-6))
    if factor > 1:
        tile, mpp = np.asarray(Image.fromarray(tile).reduce(factor)), mpp * factor
    height, width = tile.shape[:2]
    # Channels first: every later step walks one channel at a time.
    stains = staining.amounts(tile.reshape(-1, 3)).reshape(3, height, width)
    levels = np.clip(stains * LEVELS_PER_UNIT, 0, 255).astype(np.uint8)
    nuclear = stains[0] > np.clip(_otsu(levels[0]), *NUCLEAR_THRESHOLD)
    nuclei = find_nuclei(nuclear, stains, mpp)
    values = []
    for reach in (SPOT_UM / 2, np.inf):
        window, region = _circle(height, width, reach / mpp)
        values += _stain_measures(stains[:, *window], levels[:, *window], nuclear[window], region)
        values += _nuclei_measures(nuclei.within(reach), np.count_nonzero(region) * mpp**2)
    return np.array([*values, *_textures(levels[:2], mpp)], dtype=np.float32)


@dataclass(frozen=True)
class Nuclei:
    """What was measured of each nucleus, arrays of one length.

    Parameters
    ----------
    away
        Distance from the middle of the tile, µm.
    area
        µm².
    elongation
        Long through short axis.
    angle
        Direction of the long axis, radians.
    density
        Mean haematoxylin.
    haematoxylin, eosin
        Mean of what is around it and not nuclear.
    """

    away: np.ndarray
    area: np.ndarray
    elongation: np.ndarray
    angle: np.ndarray
    density: np.ndarray
    haematoxylin: np.ndarray
    eosin: np.ndarray

    def within(self, reach: float) -> "Nuclei":
        """Those whose centre lies no further than `reach` µm from the middle."""
        chosen = self.away <= reach
        return Nuclei(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def find_nuclei(nuclear: np.ndarray, stains: np.ndarray, mpp: float) -> Nuclei:
    """Measure the connected parts of the mask `nuclear` (height, width) in `stains` (3, height, width)."""
    labels, count = ndimage.label(nuclear)
    flat = np.flatnonzero(labels)
    label = labels.ravel()[flat] - 1
    y, x = (axis.astype(np.float32) for axis in np.divmod(flat, nuclear.shape[1]))
    size = np.bincount(label, minlength=count)
    chosen = size * mpp**2 >= LEAST_NUCLEUS_UM2

    def mean(values):
        return (np.bincount(label, values, minlength=count) / np.maximum(size, 1))[chosen]

    middle_x, middle_y = mean(x), mean(y)
    xx = mean(x * x) - middle_x**2 + 1 / 12
    yy = mean(y * y) - middle_y**2 + 1 / 12
    xy = mean(x * y) - middle_x * middle_y
    half_sum, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    height, width = nuclear.shape
    around = _surroundings(nuclear, stains[:2], mpp)[:, middle_y.astype(int) // 2, middle_x.astype(int) // 2]
    return Nuclei(
        away=np.hypot(middle_x - (width - 1) / 2, middle_y - (height - 1) / 2) * mpp,
        area=size[chosen] * mpp**2,
        elongation=np.sqrt((half_sum + spread) / np.maximum(half_sum - spread, 1 / 12)),
        angle=np.arctan2(2 * xy, xx - yy) / 2,
        density=mean(stains[0].ravel()[flat]),
        haematoxylin=around[0],
        eosin=around[1],
    )


def _surroundings(nuclear, stains, mpp):
    """Local mean of each stain over pixels that are not nuclear, at every second pixel."""
    outside = (~nuclear[::2, ::2]).astype(np.float32)
    reach = max(1, round(SURROUND_UM / mpp))
    weight = ndimage.uniform_filter(outside, reach) + 1e-3
    return np.stack([ndimage.uniform_filter(stain[::2, ::2] * outside, reach) / weight for stain in stains])


def _stain_measures(stains, levels, nuclear, region):
    """Measures of the pixels of a region (mask) of `stains`, (3, height, width), and of their `levels`."""
    values = []
    for level in levels[:2]:
        share = _histogram(level, region)
        mean = share @ _LEVEL
        percentiles = np.searchsorted(share.cumsum(), np.array(PERCENTILES) / 100 - 1e-9)
        values += [mean, np.sqrt(share @ (_LEVEL - mean) ** 2), *_LEVEL[np.minimum(percentiles, 255)]]
    pixels = np.count_nonzero(region)
    clear = np.count_nonzero((np.maximum(levels[0], levels[1]) < CLEAR * LEVELS_PER_UNIT) & region) / pixels
    covered = np.count_nonzero(nuclear & region) / pixels
    # Means over all pixels and over those that are not nuclear, by one matrix product.
    masks = np.stack([region, region & ~nuclear]).reshape(2, -1).astype(np.float32)
    whole, cytoplasm = masks @ stains.reshape(3, -1).T / np.maximum(masks.sum(axis=1, keepdims=True), 1)
    return [*values, whole[2], clear, covered, *cytoplasm[:2]]


def _histogram(levels, region):
    """Share of every level in a region (mask); all 0 where it holds no pixel."""
    # Pillow counts bytes several times faster than numpy.
    mask = None if region.all() else Image.fromarray(region.view(np.uint8) * np.uint8(255))
    counts = np.array(Image.fromarray(levels).histogram(mask), dtype=float)
    return counts / max(counts.sum(), 1.0)


def _nuclei_measures(nuclei, area_um2):
    """Numbers of nuclei per 1000 µm², by size and by shape and darkness; order of directions; surroundings."""
    scale = 1000 / area_um2
    by_shape = _soft_bins(nuclei.elongation, ELONGATION)[:, :, None]
    by_density = _soft_bins(nuclei.density, DENSITY)[:, None, :]
    by_area = _soft_bins(nuclei.area, AREA_UM2)
    count = max(len(nuclei.area), 1)
    # A direction has no sign: twice the angle has one.
    elongated = by_shape[:, 1, 0]
    turn = np.abs((elongated * np.exp(2j * nuclei.angle)).sum()) / max(elongated.sum(), 1.0)
    return [
        len(nuclei.area) * scale,
        *(by_area.sum(axis=0) * scale),
        *((by_shape * by_density).sum(axis=0).ravel() * scale),
        turn,
        nuclei.haematoxylin.sum() / count,
        nuclei.eosin.sum() / count,
    ]


def _soft_bins(values, centres):
    """Membership (n, bins) of values, linear between neighbouring centres; rows sum to 1."""
    points = list(centres.values())
    return np.column_stack([np.interp(values, points, row) for row in np.eye(len(points))])


def _textures(levels, mpp):
    """Grey-level co-occurrence (Haralick) of the stains at two distances, mean of two directions."""
    step = max(1, round(1.0 / mpp))
    offsets = [max(1, round(um / (mpp * step))) for um in OFFSETS_UM]
    matrices = [
        graycomatrix(stain, offsets, [0, np.pi / 2], levels=GREY_LEVELS, symmetric=True, normed=True)
        for stain in levels[:, ::step, ::step] // (256 // GREY_LEVELS)
    ]
    both = np.concatenate(matrices, axis=2)
    return np.stack([graycoprops(both, what).mean(axis=1) for what in TEXTURES], axis=1).ravel()


@lru_cache(maxsize=4)
def _circle(height, width, radius):
    """The window that holds all pixels no further than `radius` from the middle, and their mask in it."""
    y, x = (np.arange(size) - (size - 1) / 2 for size in (height, width))
    rows, columns = (np.flatnonzero(np.abs(axis) <= radius) for axis in (y, x))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return window, np.hypot(y[window[0], None], x[window[1]]) <= radius


def _otsu(levels):
    """Otsu's threshold of `levels`, in optical density."""
    counts = np.array(Image.fromarray(levels).histogram())
    return threshold_otsu(hist=(counts, _LEVEL)) if np.count_nonzero(counts) > 1 else 0.0
