"""Slides of any size in seconds and megabytes: a BigTIFF pyramid whose tiles share the JPEG streams of one picture."""

import struct
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

TILE = 256
# The picture repeats after so many tiles; tissue begins and ends with such blocks.
PERIOD = 8
# Levels whose tiles all lie in one block are pointed together; coarser ones are drawn.
POINTED = 4
QUALITY = 92
TYPES = {3: "H", 4: "I", 5: "II", 16: "Q"}


def write_slide(
    path: Path, picture: np.ndarray, edge: int, *, mpp: float = 0.5, tissue: bool = False
) -> Path:
    """Write a square slide on which `picture` repeats, as a generic pyramid that halves from level to level.

    The layout is BigTIFF with the tags of TIFF 6.0 (section 15) and whole JPEG streams as tiles. Streams of the
    upper four levels stand in the file once, whatever the number of tiles that point to them: a slide of
    100,000 × 100,000 pixels is some ten megabytes large. Decoding costs what it costs in any other file.

    Parameters
    ----------
    path
        Where it goes.
    picture
        uint8 of shape (2048, 2048, 3).
    edge
        Pixels of each side.
    mpp
        µm per pixel, for the resolution tags.
    tissue
        Two ellipses of tissue on white glass instead of tissue everywhere.
    """
    blocks = _blocks(-(-edge // (PERIOD * TILE)), tissue)
    with path.open("wb") as handle:
        handle.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        levels = []
        for number in range(max(POINTED, (edge // 1024).bit_length())):
            side = edge >> number
            if number < POINTED:
                places, sizes = _pointed(handle, picture, blocks, number, side)
            else:
                places, sizes = _drawn(handle, picture, blocks, number, side)
            levels.append(_Level(side, places, sizes, mpp * 2**number, number > 0))
        _write_directories(handle, levels)
    return path


@dataclass
class _Level:
    side: int
    places: np.ndarray
    sizes: np.ndarray
    mpp: float
    reduced: bool


def _blocks(count: int, tissue: bool) -> np.ndarray:
    """Which blocks hold tissue, bool of shape (count, count)."""
    y, x = (np.indices((count, count)) + 0.5) / count
    if not tissue:
        return np.ones((count, count), bool)
    return (
        ((x - 0.32) / 0.2) ** 2 + ((y - 0.5) / 0.38) ** 2 < 1
        if count < 4
        else (
            (((x - 0.3) / 0.2) ** 2 + ((y - 0.5) / 0.38) ** 2 < 1)
            | (((x - 0.72) / 0.16) ** 2 + ((y - 0.45) / 0.3) ** 2 < 1)
        )
    )


def _pointed(handle, picture: np.ndarray, blocks: np.ndarray, number: int, side: int):
    """Streams of one period, and of glass; every tile points to one of them."""
    small = _shrunk(picture, 2**number)
    period = PERIOD >> number
    streams = [
        _encoded(small[y : y + TILE, x : x + TILE])
        for y in range(0, period * TILE, TILE)
        for x in range(0, period * TILE, TILE)
    ]
    glass = _encoded(np.full((TILE, TILE, 3), 243, np.uint8))
    kinds = np.arange(period**2).reshape(period, period)
    count = -(-side // TILE)
    rows, columns = np.indices((count, count))
    stream = np.where(
        blocks[rows // period, columns // period], kinds[rows % period, columns % period], len(streams)
    )
    places, sizes = _stored(handle, [*streams, glass])
    return places[stream], sizes[stream]


def _drawn(handle, picture: np.ndarray, blocks: np.ndarray, number: int, side: int):
    """A level whose tiles span several blocks, drawn and encoded tile by tile."""
    small = _shrunk(picture, 2**number)
    tissue = np.kron(blocks, np.ones(small.shape[:2], bool))
    whole = np.where(tissue[..., None], np.tile(small, (len(blocks), len(blocks), 1)), np.uint8(243))
    count = -(-side // TILE)
    whole = np.pad(whole, ((0, TILE), (0, TILE), (0, 0)), mode="edge")
    corners = [(y * TILE, x * TILE) for y in range(count) for x in range(count)]
    padded = [
        np.pad(part, ((0, TILE - part.shape[0]), (0, TILE - part.shape[1]), (0, 0)), mode="edge")
        for part in (whole[y : y + TILE, x : x + TILE] for y, x in corners)
    ]
    places, sizes = _stored(handle, [_encoded(tile) for tile in padded])
    return places.reshape(count, count), sizes.reshape(count, count)


def _stored(handle, streams: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    places = []
    for stream in streams:
        places.append(handle.tell())
        handle.write(stream)
    return np.array(places, np.uint64), np.array([len(stream) for stream in streams], np.uint64)


def _encoded(tile: np.ndarray) -> bytes:
    return imagecodecs.jpeg8_encode(np.ascontiguousarray(tile), level=QUALITY)


def _shrunk(picture: np.ndarray, by: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).reduce(by)) if by > 1 else picture


def _write_directories(handle, levels: list[_Level]) -> None:
    link = 8  # where the place of the next directory is written
    for level in levels:
        arrays = {}
        for tag, values in ((324, level.places), (325, level.sizes)):
            arrays[tag] = handle.tell(), values.size
            handle.write(values.astype("<u8").tobytes())
        per_cm = round(1e4 / level.mpp * 1000), 1000
        tags = [
            (254, 4, (int(level.reduced),)),
            *((tag, 4, (level.side,)) for tag in (256, 257)),
            (258, 3, (8, 8, 8)),
            (259, 3, (7,)),  # JPEG
            (262, 3, (6,)),  # YCbCr
            (277, 3, (3,)),
            (282, 5, per_cm),
            (283, 5, per_cm),
            (284, 3, (1,)),
            (296, 3, (3,)),  # per centimetre
            *((tag, 4, (TILE,)) for tag in (322, 323)),
            *((tag, 16, arrays[tag]) for tag in (324, 325)),
            (530, 3, (2, 2)),  # chroma is halved both ways
        ]
        start = handle.tell()
        handle.write(struct.pack("<Q", len(tags)))
        for tag, kind, values in tags:
            handle.write(_entry(tag, kind, values))
        after = handle.tell()
        handle.write(struct.pack("<Q", 0))
        handle.seek(link)
        handle.write(struct.pack("<Q", start))
        handle.seek(0, 2)
        link = after


def _entry(tag: int, kind: int, values: tuple[int, ...]) -> bytes:
    if tag in (324, 325):
        place, count = values
        return struct.pack("<HHQQ", tag, kind, count, place)
    count = 1 if kind == 5 else len(values)
    packed = struct.pack(f"<{len(values)}{TYPES[kind][0]}", *values)
    return struct.pack("<HHQ", tag, kind, count) + packed.ljust(8, b"\0")
