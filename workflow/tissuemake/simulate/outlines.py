"""Outlines of nuclei and cells as star-shaped polygons, and which outline a point lies in."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

VERTICES = 12
_ANGLES = np.arange(VERTICES) * 2 * np.pi / VERTICES
_NEIGHBOURS = 8


@dataclass(frozen=True)
class Outlines:
    """Radii (n, `VERTICES`), µm, of nuclei and cells around `centres` (n, 2), at equal angles.

    A cell ends half way to its neighbours, so that cells do not overlap.
    """

    centres: np.ndarray
    nucleus: np.ndarray
    cell: np.ndarray

    def polygons(self, radii: np.ndarray) -> np.ndarray:
        """Closed rings (n, `VERTICES` + 1, 2), µm, of `nucleus` or `cell` radii."""
        around = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])
        rings = self.centres[:, None, :] + radii[:, :, None] * around
        return np.concatenate([rings, rings[:, :1]], axis=1)

    def area(self, radii: np.ndarray) -> np.ndarray:
        """Area (n,), µm², of the polygons."""
        return 0.5 * np.sin(2 * np.pi / VERTICES) * (radii * np.roll(radii, -1, axis=1)).sum(axis=1)

    def locate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find the cell of each point (m, 2).

        Returns
        -------
        cell
            (m,) index of the cell the point lies in, -1 for none.
        in_nucleus
            (m,) whether it lies in that cell's nucleus.
        distance
            (m,) µm to the nucleus of the nearest cell, 0 within it.
        """
        _, nearest = cKDTree(self.centres).query(points)
        away = points - self.centres[nearest]
        length = np.hypot(away[:, 0], away[:, 1])
        angle = np.arctan2(away[:, 1], away[:, 0]) % (2 * np.pi)
        nucleus = _edge(self.nucleus[nearest], angle)
        inside = length <= _edge(self.cell[nearest], angle)
        in_nucleus = inside & (length <= nucleus)
        return (
            np.where(inside, nearest, -1),
            in_nucleus,
            np.where(in_nucleus, 0, np.maximum(length - nucleus, 0)),
        )


def _edge(radii, angle):
    """Distance from the centre to the polygon's side in direction `angle`."""
    step = 2 * np.pi / VERTICES
    first = np.minimum((angle / step).astype(np.int64), VERTICES - 1)
    rows = np.arange(len(radii))
    r0, r1 = radii[rows, first], radii[rows, (first + 1) % VERTICES]
    past = angle - first * step
    return r0 * r1 * np.sin(step) / (r0 * np.sin(past) + r1 * np.sin(step - past))


def outline_cells(nuclei: pd.DataFrame, expansion_um: float = 5.0) -> Outlines:
    """Outline cells by growing their nuclei by `expansion_um`, up to the half way line to each neighbour.

    Parameters
    ----------
    nuclei
        From `staining.shape_nuclei`: x, y, a, b (µm), angle.
    """
    centres = nuclei[["x", "y"]].to_numpy(np.float64)
    turned = _ANGLES[None, :] - nuclei["angle"].to_numpy(np.float64)[:, None]
    a, b = nuclei["a"].to_numpy()[:, None], nuclei["b"].to_numpy()[:, None]
    nucleus = 1 / np.sqrt((np.cos(turned) / a) ** 2 + (np.sin(turned) / b) ** 2)
    cell = nucleus + expansion_um
    neighbours = min(_NEIGHBOURS + 1, len(centres))
    _, near = cKDTree(centres).query(centres, k=neighbours)
    for column in range(1, neighbours):
        away = centres[near[:, column]] - centres
        towards = away[:, :1] * np.cos(_ANGLES) + away[:, 1:] * np.sin(_ANGLES)
        limit = (away**2).sum(axis=1, keepdims=True) / (2 * np.maximum(towards, 1e-6))
        cell = np.minimum(cell, np.where(towards > 1e-6, 0.98 * limit, np.inf))
    cell = np.maximum(cell, 0.3)
    return Outlines(centres, np.minimum(nucleus, 0.95 * cell), cell)


def scatter(
    outlines: Outlines, cell: np.ndarray, in_nucleus: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw a point (m, 2) within the cell, or the nucleus, of each entry of `cell`."""
    corner = rng.integers(0, VERTICES, len(cell))
    reach = np.sqrt(rng.random(len(cell)))
    share = rng.random(len(cell))
    point = np.zeros((len(cell), 2))
    for offset, part in ((0, 1 - share), (1, share)):
        vertex = (corner + offset) % VERTICES
        radius = np.where(in_nucleus, outlines.nucleus[cell, vertex], outlines.cell[cell, vertex])
        radius = radius * reach * part
        point += radius[:, None] * np.column_stack([np.cos(_ANGLES[vertex]), np.sin(_ANGLES[vertex])])
    return outlines.centres[cell] + point


def one_by_one(indptr: np.ndarray, indices: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of every single count of a CSR matrix."""
    rows = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
    return np.repeat(rows, data), np.repeat(indices, data)
