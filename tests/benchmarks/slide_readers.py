"""The readers that are measured against each other, and the decoder alone that none can pass."""

import os
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import openslide
import tifffile
import zarr

from tissuemake.histology.jpeg_tiles import JpegTiledSlide

EDGE = 224
Reader = Callable[[Path, np.ndarray], None]


def ours(path: Path, corners: np.ndarray) -> None:
    """The workflow's way: in the order that decodes each JPEG tile once."""
    with JpegTiledSlide(path) as slide:
        for _ in slide.read_many(corners, EDGE, EDGE):
            pass


def ours_one_by_one(path: Path, corners: np.ndarray) -> None:
    """In the order of asking, with a cache of decoded tiles."""
    with JpegTiledSlide(path) as slide:
        for x, y in corners.tolist():
            slide.read(x, y, EDGE, EDGE)


def read_region(path: Path, corners: np.ndarray) -> None:
    """The plain loop."""
    with openslide.OpenSlide(path) as slide:
        for corner in corners.tolist():
            slide.read_region(corner, 0, (EDGE, EDGE)).convert("RGB")


def read_region_cached(path: Path, corners: np.ndarray) -> None:
    """With 256 MB of cache, and without PIL's conversion."""
    with openslide.OpenSlide(path) as slide:
        slide.set_cache(openslide.OpenSlideCache(256 * 2**20))
        for corner in corners.tolist():
            np.asarray(slide.read_region(corner, 0, (EDGE, EDGE)))[..., :3]


def tifffile_zarr(path: Path, corners: np.ndarray) -> None:
    """Slices of tifffile's zarr store."""
    with tifffile.TiffFile(path) as tiff:
        level = zarr.open(tiff.series[0].aszarr(level=0), mode="r")
        for x, y in corners.tolist():
            level[y : y + EDGE, x : x + EDGE]


def streams_of(path: Path, corners: np.ndarray) -> list[bytes]:
    """The JPEG tiles of level 0 that cover the corners' regions, each once."""
    with JpegTiledSlide(path) as slide:
        across, down = slide.tile_shape(0)
        first, last = corners // (across, down), (corners + EDGE - 1) // (across, down)
        needed = {
            (row, column)
            for (left, top), (right, bottom) in zip(first.tolist(), last.tolist(), strict=True)
            for row in range(top, bottom + 1)
            for column in range(left, right + 1)
        }
        level = slide.levels[0]
        return [
            os.pread(slide._file, int(level.sizes[place]), int(level.offsets[place]))
            for place in sorted(needed)
        ]


def decode_into_new(streams: list[bytes]) -> None:
    """As the decoder is used by default."""
    for stream in streams:
        imagecodecs.jpeg8_decode(stream, outcolorspace="RGB")


def decode_into_one(streams: list[bytes]) -> None:
    """Without having memory for each picture."""
    memory = imagecodecs.jpeg8_decode(streams[0], outcolorspace="RGB")
    for stream in streams:
        imagecodecs.jpeg8_decode(stream, outcolorspace="RGB", out=memory)


READERS: dict[str, Reader] = {
    "ours, `read_many`": ours,
    "ours, `read` one by one": ours_one_by_one,
    "OpenSlide `read_region` → RGB": read_region,
    "OpenSlide → numpy, 256 MB cache": read_region_cached,
    "tifffile + zarr slicing": tifffile_zarr,
}
