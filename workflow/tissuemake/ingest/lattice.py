"""The lattice spots stand on: its fit to pixels gives the pitch, and so µm per pixel."""

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class LatticeFit:
    """How array coordinates map to pixels: ``pixels = matrix @ (column, row) + offset``.

    ``pitch_px`` is the distance of neighbouring spots; ``residual`` the root mean square distance of the
    spots from the fitted lattice, in pitches: below 0.1 on real slides, above 1 when columns are mixed up.
    """

    pitch_px: float
    residual: float


def ideal_lattice(array_row: np.ndarray, array_col: np.ndarray, lattice: str) -> np.ndarray:
    """Positions (n, 2) of spots on the ideal lattice, in units of the pitch.

    On a ``hexagonal`` lattice (Visium) neighbours in a row stand two array columns apart and rows are
    √3/2 pitches apart. On a ``square`` lattice rows and columns are one pitch apart. Where only every second
    site is taken (ST 2k arrays: row + column always even) the nearest neighbours stand diagonally, one column
    (2/3 pitch) and one row (√5/3 pitch) away; both ST 2k slides at hand measure so to half a percent.
    """
    row, col = np.asarray(array_row, float), np.asarray(array_col, float)
    if lattice == "hexagonal":
        return np.column_stack([col / 2, row * np.sqrt(3) / 2])
    if is_checkerboard(row, col):
        return np.column_stack([col * 2 / 3, row * np.sqrt(5) / 3])
    return np.column_stack([col, row])


def is_checkerboard(array_row: np.ndarray, array_col: np.ndarray) -> bool:
    """Whether row + column has the same parity for all of at least three spots."""
    parity = (np.asarray(array_row, int) + np.asarray(array_col, int)) % 2
    return len(parity) > 2 and bool((parity == parity[0]).all())


def fit_lattice(positions: pd.DataFrame, lattice: str = "hexagonal") -> LatticeFit | None:
    """Fit the ideal lattice to pixels by a similarity (rotation, mirror, scale), least squares.

    A similarity, not an affine: it stays determined when only one row of spots is there, and stretch shows in
    the residual. Scale by Umeyama (1991), mirrors allowed because Visium HD images are mirrored.

    Parameters
    ----------
    positions
        Columns ``x``, ``y`` (pixels), ``array_row``, ``array_col``; rows with gaps are left out.

    Returns
    -------
    LatticeFit | None
        None when fewer than two spots or a single place are there.
    """
    if not {"array_row", "array_col"} <= set(positions.columns):
        return None
    known = positions[["x", "y", "array_row", "array_col"]].apply(pd.to_numeric, errors="coerce").dropna()
    if len(known) < 2:
        return None
    ideal = ideal_lattice(known["array_row"].to_numpy(), known["array_col"].to_numpy(), lattice)
    pixels = known[["x", "y"]].to_numpy(float)
    ideal, pixels = ideal - ideal.mean(0), pixels - pixels.mean(0)
    spread = (ideal**2).sum()
    left, strength, right = np.linalg.svd(pixels.T @ ideal)
    scale = strength.sum() / spread if spread > 0 else 0.0
    if not np.isfinite(scale) or scale <= 0:
        return None
    misfit = pixels - scale * ideal @ (left @ right).T
    return LatticeFit(float(scale), float(np.sqrt((misfit**2).sum(1).mean()) / scale))


def fit_pitch_px(positions: pd.DataFrame, lattice: str = "hexagonal") -> float | None:
    """Distance of neighbouring spots in full-resolution pixels, or None where it cannot be told."""
    fit = fit_lattice(positions, lattice)
    return None if fit is None else fit.pitch_px


def grid_from_coordinates(xy: np.ndarray) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Rows, columns and step of a square grid that coordinates (n, 2) stand on exactly, or None.

    For tables of binned cells, which carry coordinates but no array indices.
    """
    axes = [np.unique(np.round(xy[:, axis], 6)) for axis in (0, 1)]
    if len(xy) < 9 or min(map(len, axes)) < 3 or len(axes[0]) * len(axes[1]) > 4 * len(xy):
        return None
    step = min(np.diff(axis).min() for axis in axes)
    index = (xy - xy.min(0)) / step
    if step <= 0 or np.abs(index - np.rint(index)).max() > 0.01:
        return None
    index = np.rint(index).astype(int)
    return index[:, 1], index[:, 0], float(step)
