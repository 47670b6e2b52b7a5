"""What every slide reader offers: regions at any scale as RGB, white outside, one error for damaged files."""

from abc import ABC, abstractmethod
from math import ceil, floor
from pathlib import Path

import numpy as np
from PIL import Image

from tissuemake.errors import InputError

# Rows of a thumbnail are read in bands of at most this many source pixels, so that a slide without a pyramid
# is never in memory whole.
BAND_PIXELS = 16_000_000


class Slide(ABC):
    """A slide image. Positions are pixels of the full resolution, x to the right and y down.

    Attributes
    ----------
    path
        The file.
    dimensions
        Width and height in pixels at full resolution.
    downsamples
        Per level of the pyramid, full-resolution pixels per pixel; the first is 1.
    mpp
        µm per full-resolution pixel as the file states it, or None.
    """

    path: Path
    dimensions: tuple[int, int]
    downsamples: tuple[float, ...]
    mpp: float | None

    def __enter__(self) -> "Slide":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def level_dimensions(self, level: int) -> tuple[int, int]:
        """Width and height of a level in its own pixels."""
        width, height = self.dimensions
        return max(1, int(width / self.downsamples[level])), max(1, int(height / self.downsamples[level]))

    def read(self, x: float, y: float, width: int, height: int, downsample: float = 1.0) -> np.ndarray:
        """Return the region whose top left corner is (x, y).

        Parameters
        ----------
        x, y
            Full-resolution pixels; may lie outside of the slide.
        width, height
            Size of the result; it covers ``width * downsample`` full-resolution pixels.
        downsample
            Full-resolution pixels per pixel of the result; below 1 the image is enlarged.

        Returns
        -------
        numpy.ndarray
            uint8 of shape (height, width, 3); white outside of the slide.
        """
        level = max((i for i, d in enumerate(self.downsamples) if d <= downsample * 1.01), default=0)
        scale = self.downsamples[level]
        left, top = x / scale, y / scale
        span_x, span_y = width * downsample / scale, height * downsample / scale
        column, row = floor(left), floor(top)
        region = self.read_level(level, column, row, ceil(left + span_x) - column, ceil(top + span_y) - row)
        if region.shape[:2] == (height, width) and (left, top, span_x) == (column, row, width):
            return region
        box = (left - column, top - row, left - column + span_x, top - row + span_y)
        resized = Image.fromarray(region).resize((width, height), Image.Resampling.BICUBIC, box=box)
        return np.asarray(resized)

    def thumbnail(self, longest: int) -> tuple[np.ndarray, float]:
        """Return the whole slide with a longer side of at most `longest` pixels, and its downsample."""
        width, height = self.dimensions
        downsample = max(1.0, max(width, height) / longest)
        columns, rows = max(1, round(width / downsample)), max(1, round(height / downsample))
        band = max(1, int(BAND_PIXELS / (width * downsample)))
        parts = [
            self.read(0, row * downsample, columns, min(band, rows - row), downsample)
            for row in range(0, rows, band)
        ]
        return np.concatenate(parts), downsample

    def read_level(self, level: int, column: int, row: int, width: int, height: int) -> np.ndarray:
        """Return a region in pixels of `level`, white outside of the slide, as uint8 (height, width, 3)."""
        full_width, full_height = self.level_dimensions(level)
        x0, x1 = max(column, 0), min(column + width, full_width)
        y0, y1 = max(row, 0), min(row + height, full_height)
        if (x0, y0, x1, y1) == (column, row, column + width, row + height):
            return self._checked(level, x0, y0, width, height)
        region = np.full((height, width, 3), 255, np.uint8)
        if x1 > x0 and y1 > y0:
            part = self._checked(level, x0, y0, x1 - x0, y1 - y0)
            region[y0 - row : y1 - row, x0 - column : x1 - column] = part
        return region

    def _checked(self, level: int, column: int, row: int, width: int, height: int) -> np.ndarray:
        try:
            return self._decode(level, column, row, width, height)
        except Exception as error:  # codecs raise their own kinds; all mean that the pixels are not there
            raise unreadable(self.path, error) from error

    @abstractmethod
    def _decode(self, level: int, column: int, row: int, width: int, height: int) -> np.ndarray:
        """Return a region that lies inside of `level`."""

    @abstractmethod
    def close(self) -> None:
        """Release the file."""


def over_white(rgba: np.ndarray) -> np.ndarray:
    """Blend an (h, w, 4) uint8 image over white."""
    alpha = rgba[..., 3:]
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(rgba[..., :3])
    blended = rgba[..., :3] * (alpha / 255.0) + (255 - alpha)
    return np.rint(blended).astype(np.uint8)


def unreadable(path: Path, error: Exception) -> InputError:
    """The error of a slide whose pixels cannot be had."""
    return InputError(
        "unreadable_slide",
        f"The slide {path} cannot be read ({type(error).__name__}: {error}).",
        "Copy it again from the scanner or export it as a pyramidal TIFF; it is cut short or damaged.",
    )
