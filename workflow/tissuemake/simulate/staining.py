"""H&E: nuclei, cytoplasm and the matter between them, as optical densities of the two stains, then as colour."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from tissuemake.simulate import cell_types
from tissuemake.simulate.tissue import GRID_UM, Section, fibre_angle, stream

# Optical densities of the stains in R, G, B (after Ruifrok & Johnston 2001, eosin a little warmer).
HAEMATOXYLIN = np.array([0.72, 0.78, 0.36], dtype=np.float32)
EOSIN = np.array([0.08, 0.72, 0.34], dtype=np.float32)
GLASS = 244.0
_TEXTURE_UM = 0.5
_TEXTURE_PX = 1024
_BLOCK_PX = 1024


@dataclass(frozen=True)
class Matter:
    """Look of the matter between nuclei: eosin level, strength of fibres, of grain, of clefts, haematoxylin haze."""

    eosin: float
    fibres: float
    grain: float
    clefts: float
    haze: float


MATTER: dict[str, Matter] = {
    "sheet": Matter(0.34, 0.0, 0.06, 0.0, 0.09),
    "loose": Matter(0.34, 0.08, 0.07, 0.55, 0.03),
    "dense": Matter(0.52, 0.14, 0.03, 0.35, 0.0),
    "bundles": Matter(0.74, 0.12, 0.02, 0.25, 0.02),
    "fat": Matter(0.0, 0.0, 0.0, 0.0, 0.0),
    "lymphoid": Matter(0.22, 0.0, 0.06, 0.05, 0.12),
}


@dataclass(frozen=True)
class Textures:
    """Seamless tiles of noise, unit variance: grain (isotropic), fibres and clefts (long in x)."""

    grain: np.ndarray
    fibres: np.ndarray
    clefts: np.ndarray


def make_textures(rng: np.random.Generator) -> Textures:
    """Draw the noise tiles, `_TEXTURE_PX` pixels of `_TEXTURE_UM` each."""

    def tile(sigma):
        noise = gaussian_filter(
            rng.standard_normal((_TEXTURE_PX, _TEXTURE_PX)).astype(np.float32), sigma, mode="wrap"
        )
        return (noise - noise.mean()) / noise.std()

    return Textures(grain=tile(1.6), fibres=tile((1.3, 22)), clefts=tile((4.5, 26)))


def render(section: Section, cells: pd.DataFrame, seed: int, mpp: float = 0.5) -> np.ndarray:
    """Paint the section.

    Parameters
    ----------
    cells
        From `place_cells`.
    mpp
        µm per pixel.

    Returns
    -------
    uint8 (h, w, 3).
    """
    rng = stream(seed, "staining")
    textures = make_textures(rng)
    stains = rng.uniform(0.92, 1.08, 2).astype(np.float32)
    nuclei = shape_nuclei(section, cells, seed)
    ground = _ground(section)
    vacuoles = cKDTree(section.vacuoles)
    side = round(section.size_um / mpp)
    picture = np.empty((side, side, 3), dtype=np.uint8)
    for top in range(0, side, _BLOCK_PX):
        for left in range(0, side, _BLOCK_PX):
            bottom, right = min(top + _BLOCK_PX, side), min(left + _BLOCK_PX, side)
            y = ((np.arange(top, bottom) + 0.5) * mpp).astype(np.float32)
            x = ((np.arange(left, right) + 0.5) * mpp).astype(np.float32)
            haze, eosin = _matter(ground, textures, vacuoles, x, y)
            _stamp(nuclei, haze, eosin, x[0], y[0], mpp, textures.grain)
            picture[top:bottom, left:right] = _colour(haze * stains[0], eosin * stains[1])
    return picture


def shape_nuclei(section: Section, cells: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Ellipse of every nucleus: x, y, a, b (semi-axes, µm), angle (radians), density, and its type's cytoplasm.

    Factors ``darker`` and ``larger`` among the columns of `cells` change density and axes.
    """
    rng = stream(seed, "nuclei")
    kinds = cell_types.CELL_TYPES
    index = cells["cell_type"].to_numpy()
    count = len(cells)
    axes = np.array([kind.nucleus_um for kind in kinds])[index] * np.exp(rng.normal(0, 0.12, (count, 2)))
    aligned = np.array([kind.aligned for kind in kinds])[index]
    angle = np.where(
        aligned,
        section.sample(fibre_angle(section), cells["x"], cells["y"]) + rng.normal(0, 0.25, count),
        rng.uniform(0, np.pi, count),
    )
    density = np.array([kind.haematoxylin for kind in kinds])[index] * np.exp(rng.normal(0, 0.14, count))
    if "darker" in cells:
        density = density * cells["darker"].to_numpy()
        axes = axes * cells["larger"].to_numpy()[:, None]
    table = {"x": cells["x"], "y": cells["y"], "a": axes[:, 0], "b": axes[:, 1], "angle": angle}
    table["density"] = density
    for name in ("cytoplasm_um", "cytoplasm_eosin", "cytoplasm_haematoxylin"):
        table[name] = np.array([getattr(kind, name) for kind in kinds])[index]
    return pd.DataFrame(table).astype(np.float32)


def _ground(section):
    """Rasters over the section: how much tissue there is, each `Matter` field, fat, bend."""
    textures = [zone.texture for zone in section.zones]
    glass = (section.zone < 0) | section.lumen
    fields = {"tissue": (~glass).astype(np.float32)}
    for name in Matter.__dataclass_fields__:
        values = np.array([getattr(MATTER[texture], name) for texture in textures] + [0.0], dtype=np.float32)
        fields[name] = values[section.zone]
    fields["fat"] = np.isin(section.zone, [i for i, name in enumerate(textures) if name == "fat"])
    smooth = {name: gaussian_filter(field.astype(np.float32), 0.9) for name, field in fields.items()}
    return smooth | {"bend": section.bend}


def _matter(ground, textures, vacuoles, x, y):
    """Haematoxylin and eosin of everything but cells, over the block of pixel centres `x`, `y` (µm)."""
    field = {name: _enlarge(raster, x, y) for name, raster in ground.items()}
    rows, cols = y[:, None], x[None, :]
    grain = _tile(textures.grain, rows, cols)
    along = rows - field["bend"]
    fibres, clefts = _tile(textures.fibres, along, cols), _tile(textures.clefts, along, cols)
    eosin = field["eosin"] * (1 + 0.1 * clefts) + field["fibres"] * fibres + field["grain"] * grain
    # Clefts are places where the noise is high: nearly empty, with a soft edge.
    eosin *= 1 - np.clip(2.5 * (clefts - 2.1 + 1.5 * field["clefts"]), 0, 0.85) * (field["clefts"] > 0.1)
    haze = field["haze"] * (1 + 0.3 * grain)
    if (field["fat"] > 0.02).any():
        eosin += field["fat"] * _walls(vacuoles, x, y, field["fat"])
    edge = np.clip((field["tissue"] - 0.5 + 0.06 * grain) * 6 + 0.5, 0, 1)
    return np.maximum(haze, 0) * edge, np.maximum(eosin, 0) * edge


def _enlarge(raster, x, y):
    """Bilinear value of a `GRID_UM` raster at the pixel centres."""
    rows = np.clip(y / GRID_UM - 0.5, 0, raster.shape[0] - 1.001)
    cols = np.clip(x / GRID_UM - 0.5, 0, raster.shape[1] - 1.001)
    i, j = rows.astype(np.int64), cols.astype(np.int64)
    a = (rows - i).astype(np.float32)[:, None]
    b = (cols - j).astype(np.float32)[None, :]
    part = raster[i[0] : i[-1] + 2, j[0] : j[-1] + 2].astype(np.float32)
    i, j = i - i[0], j - j[0]
    across = part[:, j] * (1 - b) + part[:, j + 1] * b
    return across[i] * (1 - a) + across[i + 1] * a


def _tile(texture, rows, cols):
    """Value of a seamless texture at positions in µm (broadcast)."""
    scale = 1 / _TEXTURE_UM
    i = (rows * scale).astype(np.int64) % _TEXTURE_PX
    j = (cols * scale).astype(np.int64) % _TEXTURE_PX
    return texture[i, j]


def _walls(vacuoles, x, y, fat):
    """Eosin of the thin walls between fat vacuoles, worked out at a quarter of the resolution."""
    coarse_x, coarse_y = x[::4], y[::4]
    near = fat[::4, ::4] > 0.01
    rows, cols = np.nonzero(near)
    gap = np.full(near.shape, 30.0, dtype=np.float32)
    away, _ = vacuoles.query(np.column_stack([coarse_x[cols], coarse_y[rows]]), k=2)
    gap[rows, cols] = away[:, 1] - away[:, 0]
    i = np.minimum(np.arange(len(y)) / 4, near.shape[0] - 1.001).astype(np.float32)
    j = np.minimum(np.arange(len(x)) / 4, near.shape[1] - 1.001).astype(np.float32)
    gap = _bilinear(gap, i, j)
    return 0.6 * np.exp(-((gap / 2.4) ** 2))


def _bilinear(raster, rows, cols):
    i, j = rows.astype(np.int64), cols.astype(np.int64)
    a, b = (rows - i)[:, None], (cols - j)[None, :]
    across = raster[:, j] * (1 - b) + raster[:, np.minimum(j + 1, raster.shape[1] - 1)] * b
    return across[i] * (1 - a) + across[np.minimum(i + 1, raster.shape[0] - 1)] * a


def _stamp(nuclei, haze, eosin, left, top, mpp, grain):
    """Add the cytoplasm of every cell to the block and set its nucleus on top."""
    height, width = haze.shape
    reach = 12.0
    near = nuclei[
        nuclei["x"].between(left - reach, left + width * mpp + reach)
        & nuclei["y"].between(top - reach, top + height * mpp + reach)
    ]
    if near.empty:
        return
    half = int(np.ceil(reach / mpp))
    span = np.arange(-half, half + 1)
    dy, dx = (axis.ravel() for axis in np.meshgrid(span, span, indexing="ij"))
    for part in np.array_split(near.to_numpy(), max(1, len(near) // 300)):
        x, y, a, b, angle, density, radius, pink, blue = part.T[:, :, None]
        col0, row0 = np.rint((x - left) / mpp).astype(np.int64), np.rint((y - top) / mpp).astype(np.int64)
        cols, rows = col0 + dx, row0 + dy
        u, v = (cols * mpp + left) - x, (rows * mpp + top) - y
        inside = (cols >= 0) & (cols < width) & (rows >= 0) & (rows < height)
        fade = 1 - (u * u + v * v) / np.maximum(radius, 0.1) ** 2
        body = inside & (fade > 0)
        flat, fade = (rows * width + cols)[body], 1.6 * np.minimum(fade[body], 0.7)
        np.add.at(eosin.reshape(-1), flat, np.broadcast_to(pink, body.shape)[body] * fade)
        np.add.at(haze.reshape(-1), flat, np.broadcast_to(blue, body.shape)[body] * fade)
        along = (u * np.cos(angle) + v * np.sin(angle)) / a
        across = (v * np.cos(angle) - u * np.sin(angle)) / b
        off = along * along + across * across
        body = inside & (off < 1)
        flat = (rows * width + cols)[body]
        # Chromatin is clumped, and its rim darker.
        clump = 0.86 + 0.22 * off[body] + 0.10 * grain[rows[body] % _TEXTURE_PX, cols[body] % _TEXTURE_PX]
        np.maximum.at(haze.reshape(-1), flat, np.broadcast_to(density, body.shape)[body] * clump)


def _colour(haematoxylin, eosin):
    """Beer-Lambert: light that two stains of the given densities let through, uint8 RGB."""
    density = np.maximum(haematoxylin, 0)[..., None] * HAEMATOXYLIN + np.maximum(eosin, 0)[..., None] * EOSIN
    return np.clip(GLASS * np.exp(-density), 0, 255).astype(np.uint8)
