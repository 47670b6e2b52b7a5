"""Slide readers: OpenSlide, tifffile, plain pictures and arrays, all as `Slide`."""

from math import prod
from pathlib import Path

import numpy as np
import openslide
import tifffile
from PIL import Image, UnidentifiedImageError

from tissuemake.histology.image import BAND_PIXELS, Slide, over_white
from tissuemake.pixel_limits import refuse_giant
from tissuemake.resolution import slide_mpp, tiff_mpp


class OpenSlideSlide(Slide):
    """A slide read by OpenSlide; what a scanner did not scan is white."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._slide = openslide.OpenSlide(str(path))
        self._slide.set_cache(openslide.OpenSlideCache(self.cache_bytes * 4 // 3))  # pixels of four bytes
        self.dimensions = self._slide.dimensions
        self.downsamples = tuple(self._slide.level_downsamples)
        self.mpp = slide_mpp(path)

    def level_dimensions(self, level: int) -> tuple[int, int]:
        """Width and height of a level in its own pixels."""
        return self._slide.level_dimensions[level]

    def _decode(self, level: int, column: int, row: int, width: int, height: int) -> np.ndarray:
        scale = self.downsamples[level]
        corner = round(column * scale), round(row * scale)
        return over_white(np.asarray(self._slide.read_region(corner, level, (width, height))))

    def close(self) -> None:
        """Release the file."""
        self._slide.close()


class TiffSlide(Slide):
    """A TIFF read by tifffile: only the tiles or strips that a region touches are decoded.

    Pixels stored in one piece are mapped if they are not compressed, and decoded once if they are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = tifffile.TiffFile(path)
        series = max(self._file.series, key=lambda one: one.size)
        self._axes = series.axes
        self._levels = [_level_array(level, path) for level in series.levels]
        sizes = [
            (level.shape[self._axes.index("X")], level.shape[self._axes.index("Y")]) for level in self._levels
        ]
        self._sizes = sizes
        self.dimensions = sizes[0]
        self.downsamples = tuple((sizes[0][0] / w + sizes[0][1] / h) / 2 for w, h in sizes)
        self.mpp = tiff_mpp(self._file)
        self._shift = self._surplus_bits()

    def _surplus_bits(self) -> int:
        """Of the smallest level, in bands: without a pyramid that is the whole slide."""
        if self._levels[-1].dtype != np.uint16:
            return 0
        width, height = self._sizes[-1]
        band = max(1, BAND_PIXELS // width)
        bands = (
            self._pixels(-1, {"X": slice(None), "Y": slice(row, row + band)})
            for row in range(0, height, band)
        )
        return max(map(_surplus_bits, bands))

    def level_dimensions(self, level: int) -> tuple[int, int]:
        """Width and height of a level in its own pixels."""
        return self._sizes[level]

    def _decode(self, level: int, column: int, row: int, width: int, height: int) -> np.ndarray:
        window = {"Y": slice(row, row + height), "X": slice(column, column + width)}
        return _as_rgb(self._pixels(level, window), self._shift)

    def _pixels(self, level: int, window: dict[str, slice]) -> np.ndarray:
        """A window of a level as it is stored, (h, w) or (h, w, colours)."""
        colour = next((axis for axis in "SC" if axis in self._axes), None)
        window = {**window, colour: slice(None)} if colour else window
        pixels = np.asarray(self._levels[level][tuple(window.get(axis, 0) for axis in self._axes)])
        kept = [axis for axis in self._axes if axis in window]
        return pixels.transpose([kept.index(axis) for axis in ("Y", "X", colour) if axis])

    def close(self) -> None:
        """Release the file."""
        self._file.close()


class FlatSlide(Slide):
    """A picture without tiles (jpg, png, …), decoded whole: 3 bytes a pixel, at most a gigapixel."""

    def __init__(self, path: Path) -> None:
        import imagecodecs

        self.path = path
        refuse_giant(path, prod(_size_in_header(path)))
        # imagecodecs and not PIL: a section at full resolution exceeds PIL's limit against image bombs.
        pixels = imagecodecs.imread(path)
        self._pixels = _as_rgb(pixels, _surplus_bits(pixels))
        self.dimensions = self._pixels.shape[1], self._pixels.shape[0]
        self.downsamples = (1.0,)
        self.mpp = None

    def _decode(self, level: int, column: int, row: int, width: int, height: int) -> np.ndarray:
        return self._pixels[row : row + height, column : column + width]

    def close(self) -> None:
        """Nothing is held open."""


class ArraySlide(FlatSlide):
    """A picture that is in memory already, such as the hires image of an h5ad."""

    def __init__(self, pixels: np.ndarray, name: str, mpp: float | None = None) -> None:
        if np.issubdtype(pixels.dtype, np.floating):
            pixels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
        self.path = Path(name)
        self._pixels = _as_rgb(pixels)
        self.dimensions = self._pixels.shape[1], self._pixels.shape[0]
        self.downsamples = (1.0,)
        self.mpp = mpp


def _level_array(level: tifffile.TiffPageSeries, path: Path):
    """The pixels of a level as an array that is sliced; of zarr where pieces are decoded on demand."""
    page = level.keyframe
    if len(level.pages) == 1 and prod(page.chunks) > BAND_PIXELS:
        if page.is_memmappable:
            return level.asarray(out="memmap")
        refuse_giant(path, prod(page.chunks[:2]))
        return level.asarray()
    import zarr

    return zarr.open(level.aszarr(level=0), mode="r")


def _size_in_header(path: Path) -> tuple[int, int]:
    """Width and height of a picture, without decoding it; (0, 0) where PIL does not know the format."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(path) as picture:
            return picture.size
    except UnidentifiedImageError:
        return 0, 0
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _as_rgb(pixels: np.ndarray, shift: int = 0) -> np.ndarray:
    """Grey, grey + alpha, RGB or RGBA as uint8 RGB; `shift` bits are dropped first."""
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"pixels are {pixels.dtype}, not 8- or 16-bit")
    pixels = (pixels >> shift).astype(np.uint8, copy=False)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] in (1, 2):
        pixels = np.concatenate([np.repeat(pixels[..., :1], 3, axis=2), pixels[..., 1:]], axis=2)
    return over_white(pixels) if pixels.shape[2] == 4 else np.ascontiguousarray(pixels[..., :3])


def _surplus_bits(pixels: np.ndarray) -> int:
    """16-bit files often hold 8-bit values; only the pixels tell which."""
    return 8 if pixels.dtype == np.uint16 and pixels.max(initial=0) > 255 else 0
