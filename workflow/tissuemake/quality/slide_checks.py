"""Does the full-resolution image open, and can pixels be read from it?"""

from pathlib import Path

import numpy as np
import openslide
import tifffile

from tissuemake.errors import InputError
from tissuemake.ingest.images import thumbnail

TILE = 256


def check_slide(sample: str, path: Path) -> None:
    """Read the lowest level of a slide and one full-resolution tile from its middle.

    Raises
    ------
    InputError
        ``corrupt_slide``: a header that opens is no promise that pixels follow.
    """
    try:
        picture = thumbnail(path)
        tile = _middle_tile(path)
    except InputError as error:
        raise _corrupt(sample, path, error.message) from error
    except Exception as error:  # openslide, tifffile, imagecodecs and PIL have no common error
        raise _corrupt(sample, path, f"{type(error).__name__}: {error}") from error
    if picture.size == 0 or (tile is not None and tile.size == 0):
        raise _corrupt(sample, path, "it holds no pixels")


def _middle_tile(path: Path) -> np.ndarray | None:
    """A tile of the largest level; None for formats that have no tiles, which `thumbnail` decoded whole."""
    if openslide.OpenSlide.detect_format(str(path)):
        with openslide.OpenSlide(str(path)) as slide:
            width, height = slide.dimensions
            corner = (max(0, width // 2 - TILE // 2), max(0, height // 2 - TILE // 2))
            return np.asarray(slide.read_region(corner, 0, (min(TILE, width), min(TILE, height))))
    if path.name.lower().endswith((".tif", ".tiff")):
        with tifffile.TiffFile(path) as tiff:
            return next(segment[0] for segment in tiff.pages.first.segments())
    return None


def _corrupt(sample: str, path: Path, why: str) -> InputError:
    return InputError(
        "corrupt_slide",
        f"Sample '{sample}': pixels of the image {path} cannot be read ({why}).",
        "Copy the file again from the scanner, or empty the column image to go on without it.",
    )
