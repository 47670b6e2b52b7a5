"""Fast reader of TIFF pyramids of JPEG tiles (svs, generic, OME-TIFF, qptiff): each tile by its offset, once."""

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path

import numpy as np
import tifffile
from imagecodecs import jpeg8_decode

from tissuemake.histology.image import CACHE_BYTES, Slide
from tissuemake.resolution import tiff_mpp

JPEG = 7  # of TIFF's tag Compression
RGB, YCBCR = 2, 6  # of its tag PhotometricInterpretation
BLOCK_BYTES = 16 * 2**20


class NotJpegTiles(ValueError):
    """The file is no pyramid of JPEG tiles; another reader may open it."""


@dataclass(frozen=True)
class JpegLevel:
    """One level of the pyramid: where its tiles lie in the file and how their colours are stored.

    Attributes
    ----------
    width, height
        Size of the level in its pixels.
    tile_width, tile_height
        Size of a tile; those at the border are padded to it.
    offsets, sizes
        int64 of shape (tile rows, tile columns): position and bytes of each tile's JPEG stream.
    tables
        Quantisation and Huffman tables that all tiles share (tag JPEGTables), or None.
    stored
        Colour space of the streams, where they do not say it themselves.
    """

    width: int
    height: int
    tile_width: int
    tile_height: int
    offsets: np.ndarray
    sizes: np.ndarray
    tables: bytes | None
    stored: str | None

    @classmethod
    def of_page(cls, page: tifffile.TiffPage) -> "JpegLevel":
        """Describe a page; raises `NotJpegTiles` where it is stored in another way."""
        if not (
            page.is_tiled
            and page.compression == JPEG
            and page.photometric in (RGB, YCBCR)
            and page.dtype == np.uint8
            and page.samplesperpixel == 3
            and page.planarconfig == 1
            and page.imagedepth == 1
        ):
            raise NotJpegTiles(f"page {page.index} is not made of JPEG tiles of RGB")
        grid = -(-page.imagelength // page.tilelength), -(-page.imagewidth // page.tilewidth)
        offsets, sizes = (
            np.asarray(values, np.int64).reshape(grid) for values in (page.dataoffsets, page.databytecounts)
        )
        # Aperio stores RGB untransformed and without a header that would say so.
        stored = "RGB" if page.photometric == RGB and not page.is_jfif else None
        size = page.imagewidth, page.imagelength, page.tilewidth, page.tilelength
        return cls(*size, offsets, sizes, page.jpegtables, stored)


class JpegTiledSlide(Slide):
    """A pyramid of JPEG tiles, read by position and decoded into the slots of a cache.

    The layout is that of TIFF 6.0 (section 15, tiles) with JPEG streams as the TIFF technical note 2 has
    them: whole streams that share the tables in tag JPEGTables. Levels are reduced pages that follow the
    first, or its SubIFDs; thumbnails, labels and overviews are none. A tile of no bytes was not scanned and
    is white. The pixels equal those of OpenSlide and tifffile.

    Reading is ``pread``, which keeps no position, and every thread has a cache of its own: a slide may be
    shared by threads and carried over a fork. It can be pickled; the copy opens the file again.

    Parameters
    ----------
    path
        The file.
    cache_bytes
        Limit of the decoded tiles that each thread keeps; a few are kept in any case.

    Raises
    ------
    NotJpegTiles
        When a level is stored in another way.
    """

    def __init__(self, path: Path, cache_bytes: int = CACHE_BYTES) -> None:
        self.path = path
        self.cache_bytes = cache_bytes
        with tifffile.TiffFile(path) as tiff:
            self.levels = [JpegLevel.of_page(page) for page in _pyramid(tiff)]
            self.mpp = tiff_mpp(tiff)
        first = self.levels[0]
        self.dimensions = first.width, first.height
        self.downsamples = tuple(
            (first.width / level.width + first.height / level.height) / 2 for level in self.levels
        )
        self._caches = threading.local()
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __reduce__(self):
        return type(self), (self.path, self.cache_bytes)

    def level_dimensions(self, level: int) -> tuple[int, int]:
        """Width and height of a level in its own pixels."""
        return self.levels[level].width, self.levels[level].height

    def tile_shape(self, level: int) -> tuple[int, int]:
        """Width and height of the tiles of a level."""
        return self.levels[level].tile_width, self.levels[level].tile_height

    def _expect(self, level: int, tiles: int) -> None:
        shape = self.tile_shape(level)
        self._cache((shape[1], shape[0], 3)).limit(tiles)

    def _decode(self, level: int, column: int, row: int, width: int, height: int) -> np.ndarray:
        across, down = self.tile_shape(level)
        region = np.empty((height, width, 3), np.uint8)
        right, bottom = column + width, row + height
        for tile_row in range(row // down, (bottom - 1) // down + 1):
            top = tile_row * down
            first, last = max(top, row), min(top + down, bottom)
            for tile_column in range(column // across, (right - 1) // across + 1):
                left = tile_column * across
                start, stop = max(left, column), min(left + across, right)
                tile = self._tile(level, tile_row, tile_column)
                region[first - row : last - row, start - column : stop - column] = tile[
                    first - top : last - top, start - left : stop - left
                ]
        return region

    def _tile(self, level: int, row: int, column: int) -> np.ndarray:
        """A decoded tile, which later calls in this thread may overwrite."""
        across, down = self.tile_shape(level)
        kept = self._cache((down, across, 3))
        key = level, row, column
        tile = kept.get(key)
        if tile is None:
            tile = kept.slot()
            try:
                self._decode_into(tile, self.levels[level], row, column)
            except BaseException:
                kept.give_back(tile)
                raise
            kept.put(key, tile)
        return tile

    def _cache(self, shape: tuple[int, int, int]) -> "_Slots":
        by_shape = self._caches.__dict__
        kept = by_shape.get(shape)
        if kept is None:
            kept = by_shape[shape] = _Slots(shape, self.cache_bytes)
        return kept

    def _decode_into(self, tile: np.ndarray, level: JpegLevel, row: int, column: int) -> None:
        size = level.sizes.item(row, column)
        if size == 0:
            tile[:] = 255
            return
        stream = os.pread(self._file, size, level.offsets.item(row, column))
        if len(stream) < size:
            raise ValueError(f"the file ends inside of tile {row}, {column}")
        try:
            jpeg8_decode(stream, tables=level.tables, colorspace=level.stored, outcolorspace="RGB", out=tile)
        except ValueError:
            # Some writers crop the tiles at the border instead of padding them.
            if np.greater(jpeg_size(stream), tile.shape[:2]).any():
                raise
            part = jpeg8_decode(stream, tables=level.tables, colorspace=level.stored, outcolorspace="RGB")
            if part.ndim != 3 or np.greater(part.shape, tile.shape).any():
                raise
            tile[: part.shape[0], : part.shape[1]] = part

    def close(self) -> None:
        """Release the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def jpeg_size(stream: bytes) -> tuple[int, int]:
    """Height and width that the header of a JPEG states, without decoding it.

    Raises
    ------
    ValueError
        Where it has none.
    """
    at = 2
    while at + 9 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(stream[at + 5 : at + 7]), int.from_bytes(stream[at + 7 : at + 9])
        at += 2 + int.from_bytes(stream[at + 2 : at + 4])
    raise ValueError("a tile has no JPEG header")


class _Slots:
    """Least recently used tiles, in memory that is used again.

    It is had in blocks large enough for huge pages: touching new small pages costs as much as decoding does.
    """

    def __init__(self, shape: tuple[int, int, int], limit: int) -> None:
        self._shape = shape
        self._full = self._most = max(4, limit // prod(shape))
        self._tiles: OrderedDict[tuple[int, int, int], np.ndarray] = OrderedDict()
        self._free: list[np.ndarray] = []
        self._made = 0

    def limit(self, tiles: int) -> None:
        """Keep no more than is needed: new memory is slow, so a small cache is filled sooner."""
        self._most = max(4, min(tiles, self._full))

    def get(self, key: tuple[int, int, int]) -> np.ndarray | None:
        tile = self._tiles.get(key)
        if tile is not None:
            self._tiles.move_to_end(key)
        return tile

    def slot(self) -> np.ndarray:
        """Memory for a tile: new until the limit, then that of the tile longest unused."""
        if not self._free and self._made < self._most:
            count = min(self._most - self._made, ceil(BLOCK_BYTES / prod(self._shape)))
            self._free.extend(np.empty((count, *self._shape), np.uint8))
            self._made += count
        return self._free.pop() if self._free else self._tiles.popitem(last=False)[1]

    def put(self, key: tuple[int, int, int], tile: np.ndarray) -> None:
        self._tiles[key] = tile

    def give_back(self, tile: np.ndarray) -> None:
        self._free.append(tile)


def _pyramid(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """The pages of the largest image, one a level."""
    series = max(tiff.series, key=lambda one: one.size)
    if series.axes != "YXS":
        raise NotJpegTiles(f"the image has axes {series.axes}")
    return [level.keyframe for level in series.levels]
