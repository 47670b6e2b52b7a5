"""What every slide reader offers: regions at any scale as RGB, white outside, one error for damaged files."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from math import ceil, floor
from pathlib import Path

import numpy as np
from PIL import Image

from tissuemake.errors import InputError

# Rows of a thumbnail are read in bands of at most this many source pixels, so that a slide without a pyramid
# is never in memory whole.
BAND_PIXELS = 16_000_000
CACHE_BYTES = 64 * 2**20
# Tiles of the file in a stripe of the reading order: each stripe decodes a column of its neighbour's again.
MOST_ACROSS = 64
# From this many pixels on, a region is rounded to whole ones: at most half a pixel, under a hundredth of it.
WHOLE_PIXELS = 64


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
    cache_bytes
        Decoded pixels that the reader keeps.
    """

    path: Path
    dimensions: tuple[int, int]
    downsamples: tuple[float, ...]
    mpp: float | None
    cache_bytes: int = CACHE_BYTES

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
            Full-resolution pixels per pixel of the result; below 1 the image is enlarged. The region is
            rounded to whole pixels of the level that is read, unless it is smaller than 64 of them: at the
            scale of a level it is a plain crop.

        Returns
        -------
        numpy.ndarray
            uint8 of shape (height, width, 3); white outside of the slide.
        """
        level = self._level_for(downsample)
        scale = self.downsamples[level]
        left, top = x / scale, y / scale
        span = width * downsample / scale, height * downsample / scale
        columns, rows = round(span[0]), round(span[1])
        if not _in_whole_pixels(span, (width, height)):
            return self._read_exactly(level, left, top, *span, width, height)
        region = self.read_level(level, round(left), round(top), columns, rows)
        return region if (columns, rows) == (width, height) else resize(region, width, height)

    def read_many(
        self, corners: np.ndarray, width: int, height: int, downsample: float = 1.0
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield regions of one size as (index, region), in the order in which reading them costs least.

        Parameters
        ----------
        corners
            (n, 2) x and y of the top left corners, in full-resolution pixels.
        width, height, downsample
            As of `read`.
        """
        corners = np.asarray(corners, float).reshape(-1, 2)
        level = self._level_for(downsample)
        scale = self.downsamples[level]
        span = width * downsample / scale, height * downsample / scale
        order = self.reading_order(corners, width, height, downsample)
        if not _in_whole_pixels(span, (width, height)):
            for index in order.tolist():
                yield index, self.read(*corners[index].tolist(), width, height, downsample)
            return
        size = round(span[0]), round(span[1])
        places = np.rint(corners[order] / scale).astype(int)
        if len(places):
            wide, high = self._tiles_touched(level, width * downsample, height * downsample)
            across = int(np.ptp(places[:, 0])) // self.tile_shape(level)[0] + 1
            self._expect(level, high * (across + wide))
        for index, (column, row) in zip(order.tolist(), places.tolist(), strict=True):
            region = self.read_level(level, column, row, *size)
            yield index, region if size == (width, height) else resize(region, width, height)

    def reading_order(
        self, corners: np.ndarray, width: int, height: int, downsample: float = 1.0
    ) -> np.ndarray:
        """Return the indices of regions in an order in which each tile of the file is decoded once.

        Row by row of the file's tiles, left to right, in stripes so wide that the tiles of the rows that a
        region touches stay in the cache. Several processes best read long parts of the order: parts share
        the row of tiles on which one ends and the next begins (a twelfth of their tiles for 1,024 regions).
        """
        level = self._level_for(downsample)
        columns, rows = np.floor(np.asarray(corners, float).reshape(-1, 2) / self.downsamples[level]).T
        tile_width, tile_height = self.tile_shape(level)
        wide, high = self._tiles_touched(level, width * downsample, height * downsample)
        kept = self.cache_bytes // (tile_width * tile_height * 3)
        stripe = max(2 * wide, min(MOST_ACROSS, kept // high - wide)) * tile_width
        return np.lexsort((columns, rows // tile_height, columns // stripe))

    def _tiles_touched(self, level: int, width: float, height: float) -> tuple[int, int]:
        """How many of the file's tiles a region of so many full-resolution pixels touches at most."""
        scale = self.downsamples[level]
        across, down = self.tile_shape(level)
        return ceil(width / scale / across) + 1, ceil(height / scale / down) + 1

    def _expect(self, level: int, tiles: int) -> None:  # noqa: B027 - most readers have no use for it
        """Told how many tiles of a level suffice in the cache for what comes."""

    def _level_for(self, downsample: float) -> int:
        """The coarsest level that is at least as fine as `downsample`."""
        return max((i for i, d in enumerate(self.downsamples) if d <= downsample * 1.01), default=0)

    def _read_exactly(
        self, level: int, left: float, top: float, span_x: float, span_y: float, width: int, height: int
    ) -> np.ndarray:
        """A region with fractions of pixels at its sides."""
        column, row = floor(left), floor(top)
        box = (left - column, top - row, left - column + span_x, top - row + span_y)
        region = self.read_level(level, column, row, ceil(box[2]), ceil(box[3]))
        return np.asarray(Image.fromarray(region).resize((width, height), Image.Resampling.BICUBIC, box=box))

    def tile_shape(self, level: int) -> tuple[int, int]:
        """Width and height of the pieces in which the file stores a level."""
        return 256, 256

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


def _in_whole_pixels(span: tuple[float, float], size: tuple[int, int]) -> bool:
    """Whether half a pixel at the side of a region is too little to matter."""
    return min(span) >= WHOLE_PIXELS or (round(span[0]), round(span[1])) == size


def resize(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    """Bicubic with antialiasing: PIL's pixels, but for rounding, at a sixth of its time."""
    import torch

    picture = torch.from_numpy(rgb).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(picture, (height, width), mode="bicubic", antialias=True)
    return resized[0].permute(1, 2, 0).contiguous().numpy()


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
