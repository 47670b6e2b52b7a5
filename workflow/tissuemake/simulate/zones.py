"""Anatomical zones: what each is made of, and three plans that say where they lie."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from tissuemake.errors import InputError


@dataclass(frozen=True)
class Zone:
    """One anatomical zone.

    Parameters
    ----------
    density
        Cells per 1000 µm².
    texture
        How the matter between nuclei looks: ``sheet``, ``loose``, ``dense``, ``bundles``, ``fat``, ``lymphoid``.
    shares
        Share of each cell type that occurs; sums to 1.
    """

    name: str
    density: float
    texture: str
    shares: dict[str, float]


EPITHELIUM = {
    "Luminal epithelial": 0.55,
    "Basal epithelial": 0.22,
    "T cell": 0.09,
    "Macrophage": 0.04,
    "Fibroblast": 0.05,
    "Endothelial": 0.03,
    "Plasma cell": 0.02,
}
LAMINA = {
    "Fibroblast": 0.30,
    "Plasma cell": 0.20,
    "Macrophage": 0.14,
    "T cell": 0.14,
    "Endothelial": 0.12,
    "B cell": 0.05,
    "Smooth muscle": 0.05,
}
STROMA = {
    "Fibroblast": 0.56,
    "Endothelial": 0.16,
    "Macrophage": 0.10,
    "Smooth muscle": 0.08,
    "T cell": 0.06,
    "Plasma cell": 0.04,
}
MUSCLE = {
    "Smooth muscle": 0.72,
    "Fibroblast": 0.13,
    "Endothelial": 0.10,
    "Macrophage": 0.03,
    "T cell": 0.02,
}
FAT = {"Adipocyte": 0.52, "Endothelial": 0.20, "Fibroblast": 0.14, "Macrophage": 0.11, "T cell": 0.03}
FOLLICLE = {
    "B cell": 0.52,
    "T cell": 0.33,
    "Macrophage": 0.06,
    "Plasma cell": 0.03,
    "Fibroblast": 0.03,
    "Endothelial": 0.03,
}
TUMOUR = {
    "Luminal epithelial": 0.70,
    "Basal epithelial": 0.12,
    "T cell": 0.06,
    "Macrophage": 0.06,
    "Fibroblast": 0.03,
    "Endothelial": 0.03,
}
MARGIN = {
    "T cell": 0.26,
    "Macrophage": 0.22,
    "Fibroblast": 0.24,
    "Plasma cell": 0.08,
    "Endothelial": 0.10,
    "Basal epithelial": 0.05,
    "B cell": 0.05,
}

# A plan maps positions relative to the tissue (µm, centre at 0) to the index of a zone and to lumina.
Plan = Callable[[np.ndarray, np.ndarray, float, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def smooth_noise(shape: tuple[int, int], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian random field of unit variance with correlation length `sigma` (raster cells)."""
    # Beyond a few cells the field is drawn coarse and enlarged: large kernels are slow.
    step = max(int(sigma // 8), 1)
    coarse = (shape[0] // step + 3, shape[1] // step + 3)
    field = gaussian_filter(rng.standard_normal(coarse), sigma / step, mode="wrap")
    field = (field - field.mean()) / field.std()
    rows, cols = np.arange(shape[0]) / step, np.arange(shape[1]) / step
    i, j = rows.astype(int), cols.astype(int)
    a, b = (rows - i)[:, None], (cols - j)[None, :]
    top = field[np.ix_(i, j)] * (1 - b) + field[np.ix_(i, j + 1)] * b
    bottom = field[np.ix_(i + 1, j)] * (1 - b) + field[np.ix_(i + 1, j + 1)] * b
    return top * (1 - a) + bottom * a


def _layered(x, y, radius, rng):
    """Layers of a hollow organ's wall, waved, with lymphoid follicles below the epithelium."""
    wave = 0.06 * np.sin(x / 170 + rng.uniform(0, 6)) + 0.05 * np.sin(x / 71 + rng.uniform(0, 6))
    depth = (y / radius + 1) / 2 + wave * 400 / radius
    depth += 0.015 * smooth_noise(x.shape, 10, rng)
    zone = np.digitize(depth, [0.24, 0.44, 0.62, 0.84])
    for centre in np.linspace(-0.6, 0.6, max(2, round(radius / 350))):
        cx, cy = radius * (centre + rng.uniform(-0.1, 0.1)), radius * (-0.31 + rng.uniform(-0.05, 0.05))
        zone[np.hypot(x - cx, (y - cy) * 1.2) < rng.uniform(100, 140)] = 5
    # Crypts: thin lumina that open into the epithelium from above.
    lumen = (zone == 0) & (np.abs((x + 25 * np.sin(y / 60)) % 150 - 75) < 9) & (depth > 0.03) & (depth < 0.16)
    return zone, lumen


def _glandular(x, y, radius, rng):
    """Round glands with lumina in stroma, a field of fat and follicles."""
    zone = np.ones(x.shape, dtype=np.int64)
    fat = smooth_noise(x.shape, 60, rng) + 1.2 * (x + y) / radius
    zone[fat > np.quantile(fat, 0.83)] = 2
    lumen = np.zeros(x.shape, dtype=bool)
    pitch = 260.0
    steps = np.arange(-np.ceil(radius * 1.3 / pitch), np.ceil(radius * 1.3 / pitch) + 1)
    for row in steps:
        for col in steps:
            cx = pitch * (col + (row % 2) / 2) + rng.normal(0, 25)
            cy = pitch * row * 0.87 + rng.normal(0, 25)
            size, follicle = rng.uniform(70, 115), rng.random() < 0.12
            squeeze = rng.uniform(0.8, 1.25)
            box = (np.abs(x - cx) < 170) & (np.abs(y - cy) < 170)
            away = np.hypot((x[box] - cx) * squeeze, (y[box] - cy) / squeeze)
            here, hole = zone[box], lumen[box]
            free = here != 2
            here[free & (away < size)] = 3 if follicle else 0
            if not follicle:
                hole[free & (away < 0.38 * size)] = True
            zone[box], lumen[box] = here, hole
    return zone, lumen


def _infiltrated(x, y, radius, rng):
    """Tumour nests with an invaded margin in stroma, lymphoid aggregates and fat."""
    nests = smooth_noise(x.shape, 22, rng) - 0.9 * (x / radius)
    zone = np.full(x.shape, 2)
    zone[nests > 0.0] = 1
    zone[nests > 0.45] = 0
    fat = smooth_noise(x.shape, 50, rng) + 1.5 * x / radius
    zone[(fat > np.quantile(fat, 0.85)) & (zone == 2)] = 3
    for _ in range(max(2, round(radius / 300))):
        angle, away = rng.uniform(0, 2 * np.pi), radius * rng.uniform(0.2, 0.7)
        cx, cy = away * np.cos(angle), away * np.sin(angle)
        zone[np.hypot(x - cx, y - cy) < rng.uniform(90, 140)] = 4
    return zone, np.zeros(x.shape, dtype=bool)


PLANS: dict[str, tuple[tuple[Zone, ...], Plan]] = {
    "layered": (
        (
            Zone("epithelium", 6.5, "sheet", EPITHELIUM),
            Zone("lamina propria", 4.8, "loose", LAMINA),
            Zone("submucosa", 2.6, "dense", STROMA),
            Zone("muscularis", 3.2, "bundles", MUSCLE),
            Zone("adipose", 1.3, "fat", FAT),
            Zone("lymphoid follicle", 9.0, "lymphoid", FOLLICLE),
        ),
        _layered,
    ),
    "glandular": (
        (
            Zone("gland", 6.5, "sheet", EPITHELIUM),
            Zone("stroma", 2.8, "dense", STROMA),
            Zone("adipose", 1.3, "fat", FAT),
            Zone("lymphoid follicle", 9.0, "lymphoid", FOLLICLE),
        ),
        _glandular,
    ),
    "infiltrated": (
        (
            Zone("tumour", 7.0, "sheet", TUMOUR),
            Zone("invasive margin", 5.5, "loose", MARGIN),
            Zone("stroma", 2.6, "dense", STROMA),
            Zone("adipose", 1.3, "fat", FAT),
            Zone("lymphoid aggregate", 9.0, "lymphoid", FOLLICLE),
        ),
        _infiltrated,
    ),
}


def plan_of(zones: str) -> tuple[tuple[Zone, ...], Plan]:
    """Return the zones and the plan called `zones`, or say which there are."""
    if zones not in PLANS:
        raise InputError(
            "unknown_zones",
            f"The tissue plan {zones!r} does not exist.",
            f"Choose one of {', '.join(PLANS)}.",
        )
    return PLANS[zones]
