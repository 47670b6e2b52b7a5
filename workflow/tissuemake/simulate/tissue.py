"""The section: its outline, where the zones lie, and where the cells stand."""

import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from tissuemake.errors import InputError
from tissuemake.simulate import cell_types
from tissuemake.simulate.zones import Zone, plan_of, smooth_noise

GRID_UM = 4.0  # raster on which zones and fields are kept
PITCH_UM = 100.0  # Visium's centre-to-centre distance
SPOT_AREA_UM2 = PITCH_UM**2 * np.sqrt(3) / 2
MARGIN_UM = 150.0  # glass around the tissue
MIN_SPOTS = 16


@dataclass(frozen=True)
class Section:
    """A tissue section on glass; positions are µm from the top left corner of its picture.

    Parameters
    ----------
    size_um
        Side of the square picture.
    zone
        (h, w) index into `zones` per raster cell of `GRID_UM`; -1 is glass.
    lumen
        (h, w) whether the place is an empty lumen.
    bend
        (h, w) displacement of fibres, µm: they run along lines of constant ``y - bend``.
    vacuoles
        (n, 2) centres of fat vacuoles, µm.
    activity
        (programmes, h, w) of planted programmes, if any.
    """

    zones: tuple[Zone, ...]
    size_um: float
    zone: np.ndarray
    lumen: np.ndarray
    bend: np.ndarray
    vacuoles: np.ndarray
    activity: np.ndarray | None = None

    def sample(self, raster: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Value of `raster` at positions in µm; positions outside take the nearest edge."""
        rows = np.clip((np.asarray(y) / GRID_UM).astype(np.int64), 0, raster.shape[0] - 1)
        cols = np.clip((np.asarray(x) / GRID_UM).astype(np.int64), 0, raster.shape[1] - 1)
        return raster[rows, cols]

    def zone_at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Zone index at positions in µm, -1 on glass."""
        inside = (np.asarray(x) >= 0) & (np.asarray(x) < self.size_um)
        inside &= (np.asarray(y) >= 0) & (np.asarray(y) < self.size_um)
        return np.where(inside, self.sample(self.zone, x, y), -1)

    def zone_names(self, index: np.ndarray) -> np.ndarray:
        """Names of zone indices; glass is ``"outside"``."""
        return np.array([zone.name for zone in self.zones] + ["outside"], dtype=object)[index]


def stream(seed: int, name: str) -> np.random.Generator:
    """The random stream called `name`; streams do not disturb each other when one draws more."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def simulate_section(seed: int, spots: int, zones: str) -> Section:
    """Draw a section under which about `spots` Visium spots lie.

    Raises
    ------
    InputError
        ``unknown_zones``, ``bad_spots``.
    """
    rng = stream(seed, "section")
    kinds, plan = plan_of(zones)
    if spots < MIN_SPOTS:
        raise InputError(
            "bad_spots",
            f"spots is {spots}; a section with all its zones needs {MIN_SPOTS}.",
            f"Give a number of spots from {MIN_SPOTS} on; 200 is right for tests.",
        )
    radius = np.sqrt(spots * SPOT_AREA_UM2 / np.pi)
    size = 2 * radius * 1.03 + 2 * MARGIN_UM
    cells = int(np.ceil(size / GRID_UM))
    size = cells * GRID_UM
    axis = (np.arange(cells) + 0.5) * GRID_UM - size / 2
    x, y = np.meshgrid(axis, axis)
    zone, lumen = plan(x, y, radius, rng)
    outside = ~_outline(x, y, radius, rng)
    zone = np.where(outside, -1, zone).astype(np.int8)
    bend = 45 * smooth_noise(zone.shape, 22, rng)
    return Section(kinds, size, zone, lumen & ~outside, bend.astype(np.float32), _vacuoles(size, rng))


def _vacuoles(size, rng, pitch=44.0):
    """Centres of fat vacuoles: a jittered hexagonal lattice over the whole picture."""
    rows, cols = np.mgrid[: int(size / pitch / 0.87) + 1, : int(size / pitch) + 1]
    centres = np.stack([(cols + rows % 2 / 2) * pitch, rows * pitch * 0.87], axis=-1).reshape(-1, 2)
    return centres + rng.normal(0, pitch * 0.16, centres.shape)


def _outline(x, y, radius, rng):
    """A rounded square whose edge is torn a little."""
    angle = np.arctan2(y, x)
    edge = np.full(angle.shape, 1.0)
    for order, size in ((2, 0.035), (3, 0.035), (5, 0.02), (9, 0.01), (17, 0.006)):
        edge += size * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    # The superellipse of exponent 3 with this half side has the area of a circle of `radius`.
    half = radius * 0.943
    distance = (np.abs(x / half) ** 3 + np.abs(y / half) ** 3) ** (1 / 3)
    return distance < edge


def place_cells(section: Section, seed: int) -> pd.DataFrame:
    """Stand cells in the section, on a jittered lattice thinned to each zone's density.

    Returns
    -------
    Table with columns x, y (µm), zone (index), cell_type (index into `cell_types.NAMES`).
    """
    rng = stream(seed, "cells")
    densities = np.array([zone.density / 1000 for zone in section.zones])
    step = np.sqrt(1 / densities.max())
    count = int(section.size_um / step)
    x, y = (axis.ravel() for axis in np.meshgrid(*[(np.arange(count) + 0.5) * step] * 2))
    x = x + rng.uniform(-0.42, 0.42, x.size) * step
    y = y + rng.uniform(-0.42, 0.42, y.size) * step
    zone = section.zone_at(x, y)
    keep = (zone >= 0) & ~section.sample(section.lumen, x, y)
    keep &= rng.random(x.size) < np.where(zone >= 0, densities[zone] / densities.max(), 0)
    x, y, zone = x[keep], y[keep], zone[keep]
    kinds = _draw_types(section, x, y, zone, rng)
    fat = np.array([kind.texture == "fat" for kind in section.zones])[zone]
    x[fat], y[fat] = _between_vacuoles(section, x[fat], y[fat])
    keep = section.zone_at(x, y) >= 0
    return pd.DataFrame({"x": x, "y": y, "zone": zone, "cell_type": kinds})[keep].reset_index(drop=True)


def _between_vacuoles(section, x, y):
    """Move cells of fat onto the nearest wall between two vacuoles, where their nuclei lie."""
    here = np.column_stack([x, y])
    _, nearest = cKDTree(section.vacuoles).query(here, k=2)
    first, second = section.vacuoles[nearest[:, 0]], section.vacuoles[nearest[:, 1]]
    across = (second - first) / np.linalg.norm(second - first, axis=1, keepdims=True)
    off = ((here - (first + second) / 2) * across).sum(axis=1, keepdims=True)
    return (here - off * across).T


def fibre_angle(section: Section) -> np.ndarray:
    """Direction of the fibres (h, w), radians, from how they bend."""
    along_y, along_x = np.gradient(section.bend, GRID_UM)
    return np.arctan2(along_x, np.maximum(1 - along_y, 0.3))


def _draw_types(section, x, y, zone, rng):
    """Types from the zone's shares, bent by a smooth field per type so that neighbours resemble each other."""
    shares = np.array([[kind.shares.get(name, 0.0) for name in cell_types.NAMES] for kind in section.zones])
    with np.errstate(divide="ignore"):
        logits = np.log(shares)[zone]
    for column in range(logits.shape[1]):
        field = smooth_noise(section.zone.shape, 18, rng)
        logits[:, column] += 0.8 * section.sample(field, x, y)
    logits += rng.gumbel(size=logits.shape)
    return logits.argmax(axis=1)
