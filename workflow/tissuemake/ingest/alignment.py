"""The alignment of an H&E image to a Xenium section: a 3 × 3 matrix, as Xenium Explorer exports it."""

from pathlib import Path

import numpy as np
import pandas as pd

from tissuemake.errors import InputError
from tissuemake.sheets import Sample

_REMEDY = (
    "Export the alignment from Xenium Explorer again: a csv of 3 × 3 numbers that maps H&E pixels to"
    " morphology pixels."
)


def find_alignment(row: Sample, bundle: Path) -> Path:
    """The alignment csv: the sheet's, or ``*alignment*.csv`` beside the image or in the bundle.

    Raises
    ------
    InputError
        ``missing_alignment``: without it the cells would stand at wrong places of the H&E.
    """
    if row.alignment:
        return Path(row.alignment)
    for folder in dict.fromkeys((Path(row.image).parent, bundle)):
        found = sorted(folder.glob("*alignment*.csv"))
        if len(found) == 1:
            return found[0]
    raise InputError(
        "missing_alignment",
        f"Sample '{row.sample}': the image {row.image} has no alignment to the cells.",
        "Fill the column alignment with the csv of Xenium Explorer, or empty the column image.",
    )


def read_alignment(path: Path, sample: str) -> np.ndarray:
    """Read the (3, 3) matrix that maps H&E pixels (x, y, 1) to morphology pixels.

    Raises
    ------
    InputError
        ``bad_alignment`` when it is not an invertible affine matrix of plausible scale.
    """
    where = f"Sample '{sample}': the alignment {path}"
    try:
        matrix = pd.read_csv(path, header=None).to_numpy(float)
    except (OSError, ValueError) as error:
        raise InputError("bad_alignment", f"{where} is not a table of numbers ({error}).", _REMEDY) from error
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise InputError("bad_alignment", f"{where} has the shape {matrix.shape}, not 3 × 3.", _REMEDY)
    if not np.allclose(matrix[2], (0, 0, 1), atol=1e-6):
        raise InputError(
            "bad_alignment", f"{where}: the last row is {matrix[2].tolist()}, not 0, 0, 1.", _REMEDY
        )
    stretch = np.linalg.svd(matrix[:2, :2], compute_uv=False)
    if stretch[1] < 1e-3 or stretch[0] > 1e3 or stretch[0] > 2 * stretch[1]:
        raise InputError(
            "bad_alignment",
            f"{where} has determinant {np.linalg.det(matrix):.3g} and stretches by {stretch[0]:.3g} and"
            f" {stretch[1]:.3g}; an image is turned, mirrored and scaled, not squeezed.",
            _REMEDY,
        )
    return matrix


def to_image(morphology: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Morphology pixels (n, 2) as pixels of the H&E."""
    inverse = np.linalg.inv(matrix)
    return morphology @ inverse[:2, :2].T + inverse[:2, 2]


def pixel_scale(matrix: np.ndarray) -> float:
    """Size of an H&E pixel in morphology pixels."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
