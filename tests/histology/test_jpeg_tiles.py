"""The fast reader: pixels equal to those of OpenSlide and tifffile, on every kind of file it takes."""

import multiprocessing
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import imagecodecs
import numpy as np
import pytest
import tifffile

from tissuemake.errors import InputError
from tissuemake.histology.jpeg_tiles import JpegTiledSlide, NotJpegTiles
from tissuemake.histology.readers import OpenSlideSlide, TiffSlide
from tissuemake.histology.slide import open_slide

WIDTH, HEIGHT = 704, 520
YCC = {"level": 90}
PLAIN = {"level": 90, "colorspace": "RGB", "outcolorspace": "RGB"}
APERIO = "Aperio Image Library v12.0\r\n704x520 (128x128) JPEG/RGB Q=90|AppMag = 20|MPP = 0.5021"


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Coloured noise over slow waves, so that chroma is interpolated everywhere."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    waves = np.stack([np.sin(rows / 9), np.cos(columns / 7), np.sin((rows + columns) / 23)], axis=2)
    noise = np.random.default_rng(4).normal(0, 20, waves.shape)
    return np.clip(130 + 90 * waves + noise, 0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray, tile: int, missing: tuple[int, ...] = (), **how):
    """JPEG streams of the tiles of a level, padded at the border; empty where missing."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -height % tile), (0, -width % tile), (0, 0)), mode="edge")
    corners = [(y, x) for y in range(0, height, tile) for x in range(0, width, tile)]
    for number, (y, x) in enumerate(corners):
        square = np.ascontiguousarray(padded[y : y + tile, x : x + tile])
        yield b"" if number in missing else imagecodecs.jpeg8_encode(square, **how)


SUBSAMPLING = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}


def write_levels(
    path,
    picture,
    levels=3,
    *,
    tile=128,
    how=YCC,
    missing=(),
    subifds=0,
    description=None,
    file=None,
    **options,
):
    """A pyramid of JPEG tiles, its levels as reduced pages or SubIFDs; described ones get a thumbnail."""
    colours = (
        {"photometric": "rgb", "compressionargs": {"outcolorspace": "RGB"}}
        if how is PLAIN
        else {"photometric": "ycbcr", "subsampling": SUBSAMPLING[how.get("subsampling", "420")]}
    )
    with tifffile.TiffWriter(path, **(file or {})) as writer:
        for number in range(levels):
            pixels = picture[:: 2**number, :: 2**number]
            first = {"subifds": subifds, "description": description} if number == 0 else {}
            # Aperio marks labels as reduced, not levels.
            reduced = {"subfiletype": 1} if number and not description else {}
            writer.write(
                encoded(pixels, tile, () if number else missing, **how),
                shape=pixels.shape,
                dtype=np.uint8,
                tile=(tile, tile),
                compression="jpeg",
                **colours,
                **first,
                **reduced,
                **options,
            )
            if description and number == 0:
                small = picture[::5, ::5]
                writer.write(
                    small, photometric="rgb", compression="jpeg", rowsperstrip=16, description=APERIO
                )
    return path


KINDS = {
    "subsampled chroma": {},
    "full chroma": {"how": {"level": 90, "subsampling": "444"}},
    "halved chroma": {"how": {"level": 90, "subsampling": "422"}, "tile": 96},
    "untransformed colours": {"how": PLAIN},
    "BigTIFF": {"file": {"bigtiff": True}},
    "big-endian": {"file": {"byteorder": ">"}},
    "Aperio": {"description": APERIO, "metadata": None},
    "SubIFDs": {"subifds": 2},
    "large tiles": {"tile": 1024},
}


def boxes(width, height):
    """Inside of a tile, over its corners, over each border of the slide, and beside it."""
    yield from [(10, 12, 40, 30), (100, 90, 224, 224), (0, 0, 128, 128), (128, 256, 128, 128), (3, 5, 1, 1)]
    yield from [(-30, -20, 90, 80), (width - 50, height - 40, 100, 90), (-5, -5, width + 10, height + 10)]
    yield (width + 5, 4, 20, 20)


@pytest.mark.parametrize("kind", KINDS)
def test_every_level_equals_openslide_and_tifffile(tmp_path, picture, kind):
    path = write_levels(tmp_path / "slide.tif", picture, **KINDS[kind])
    with open_slide(path) as slide, TiffSlide(path) as other:
        assert type(slide) is JpegTiledSlide
        assert slide.dimensions == (WIDTH, HEIGHT)
        assert slide.downsamples == other.downsamples == (1.0, 2.0, 4.0)
        assert np.abs(slide.read_level(0, 0, 0, WIDTH, HEIGHT).astype(int) - picture).mean() < 16
        equal(slide, other, 3)
        # OpenSlide refuses big-endian files and does not look into SubIFDs.
        if kind != "big-endian":
            with OpenSlideSlide(path) as one:
                equal(slide, one, 1 if kind == "SubIFDs" else 3)


def equal(slide, other, levels):
    assert len(other.downsamples) == levels
    for level in range(levels):
        for box in boxes(*slide.level_dimensions(level)):
            np.testing.assert_array_equal(slide.read_level(level, *box), other.read_level(level, *box))


@pytest.mark.real
@pytest.mark.parametrize(
    "name", ["CMU-1-Small-Region.svs", "her2st_C2_crop_pyramid.tif", "her2st_C2_crop_pyramid.ome.tif"]
)
def test_real_slides_equal_openslide_and_tifffile(data_dir, name):
    path = data_dir / "wsi" / name
    with JpegTiledSlide(path) as slide, OpenSlideSlide(path) as one, TiffSlide(path) as other:
        assert slide.mpp == pytest.approx(one.mpp)
        equal(slide, other, len(slide.downsamples))
        equal(slide, one, len(one.downsamples))


def test_a_tile_of_no_bytes_is_white(tmp_path, picture):
    path = write_levels(tmp_path / "slide.tif", picture, missing=(0, 9), levels=1)
    with open_slide(path) as slide:
        assert type(slide) is JpegTiledSlide
        whole = slide.read_level(0, 0, 0, WIDTH, HEIGHT)
    assert (whole[:128, :128] == 255).all()
    assert (whole[128:256, 3 * 128 : 4 * 128] == 255).all()
    assert (whole[:128, 128:256] != 255).mean() > 0.8


def test_shared_tables_are_applied(tmp_path, picture):
    """TIFF technical note 2: tables once in tag 347, streams without them."""
    streams = list(encoded(picture, 128, **YCC))
    tables, _ = split_tables(streams[0])
    path = tmp_path / "slide.tif"
    tifffile.imwrite(
        path,
        (split_tables(stream)[1] for stream in streams),
        shape=picture.shape,
        dtype=np.uint8,
        tile=(128, 128),
        photometric="ycbcr",
        subsampling=(2, 2),
        compression="jpeg",
        extratags=[(347, 7, len(tables), tables, True)],
    )
    whole = write_levels(tmp_path / "whole.tif", picture, levels=1)
    with JpegTiledSlide(path) as slide, JpegTiledSlide(whole) as expected, OpenSlideSlide(path) as one:
        region = slide.read(90, 60, 300, 300)
        np.testing.assert_array_equal(region, expected.read(90, 60, 300, 300))
        np.testing.assert_array_equal(region, one.read(90, 60, 300, 300))


def split_tables(stream: bytes) -> tuple[bytes, bytes]:
    """A JPEG stream as its quantisation and Huffman tables, and what is left."""
    tables, rest, at = b"\xff\xd8", b"\xff\xd8", 2
    while stream[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4])
        if stream[at + 1] in (0xDB, 0xC4):
            tables += stream[at:end]
        else:
            rest += stream[at:end]
        at = end
    return tables + b"\xff\xd9", rest + stream[at:]


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "deflate", "tile": (128, 128)},
        {"compression": "jpeg", "rowsperstrip": 64},
        {"compression": "jpeg", "tile": (128, 128), "planarconfig": "separate"},
    ],
)
def test_other_layouts_are_left_to_other_readers(tmp_path, picture, options):
    pixels = np.moveaxis(picture, 2, 0) if "planarconfig" in options else picture
    tifffile.imwrite(tmp_path / "slide.tif", pixels, photometric="rgb", **options)
    with pytest.raises(NotJpegTiles):
        JpegTiledSlide(tmp_path / "slide.tif")
    with open_slide(tmp_path / "slide.tif") as slide:
        assert type(slide) in (OpenSlideSlide, TiffSlide)
        assert slide.dimensions == (WIDTH, HEIGHT)


def test_gaps_in_an_aperio_slide_are_left_to_openslide(tmp_path, picture):
    path = write_levels(tmp_path / "a.svs", picture, description=APERIO, metadata=None, missing=(0,))
    with open_slide(path) as slide:
        assert type(slide) is OpenSlideSlide


@pytest.mark.parametrize("damage", ["noise", "end"])
def test_a_damaged_tile_is_an_error_that_names_the_file(tmp_path, picture, damage):
    path = write_levels(tmp_path / "slide.tif", picture, levels=1)
    with JpegTiledSlide(path) as slide:
        offset, size = int(slide.levels[0].offsets[-1, -1]), int(slide.levels[0].sizes[-1, -1])
    if damage == "end":
        os.truncate(path, offset + size // 2)
    else:
        with path.open("r+b") as handle:
            handle.seek(offset)
            handle.write(b"\xff" * size)
    with JpegTiledSlide(path) as slide:
        slide.read(0, 0, 128, 128)
        with pytest.raises(InputError, match=r"slide\.tif") as caught:
            slide.read(WIDTH - 100, HEIGHT - 100, 99, 99)
    assert caught.value.code == "unreadable_slide"


def test_the_cache_holds_no_more_than_its_limit_and_serves_what_it_holds(tmp_path, picture, monkeypatch):
    path = write_levels(tmp_path / "slide.tif", picture)
    slide = JpegTiledSlide(path, cache_bytes=6 * 128 * 128 * 3)
    decoded = []
    decode = slide._decode_into
    monkeypatch.setattr(slide, "_decode_into", lambda *a: decoded.append(a[2:]) or decode(*a))
    slide.read(10, 10, 200, 200)
    assert len(decoded) == 4
    slide.read(20, 20, 200, 200)
    assert len(decoded) == 4
    whole = slide.read_level(0, 0, 0, WIDTH, HEIGHT)
    assert len(slide._cache((128, 128, 3))._tiles) == 6
    with OpenSlideSlide(path) as one:
        np.testing.assert_array_equal(whole, one.read_level(0, 0, 0, WIDTH, HEIGHT))


@pytest.mark.parametrize("downsample", [1.0, 2.0, 1.37, 0.6])
def test_many_regions_are_those_of_single_reads(tmp_path, picture, downsample):
    path = write_levels(tmp_path / "slide.tif", picture)
    corners = np.random.default_rng(1).uniform(-80, 600, (40, 2))
    with open_slide(path) as slide:
        regions = dict(slide.read_many(corners, 100, 90, downsample))
        assert sorted(regions) == list(range(40))
        for index, region in regions.items():
            np.testing.assert_array_equal(region, slide.read(*corners[index], 100, 90, downsample))
        assert list(slide.read_many(np.empty((0, 2)), 100, 90, downsample)) == []


@pytest.mark.parametrize("cache_tiles", [1000, 24])
def test_many_regions_decode_each_tile_once_whatever_their_order(tmp_path, picture, monkeypatch, cache_tiles):
    path = write_levels(tmp_path / "slide.tif", picture, tile=32)
    slide = JpegTiledSlide(path, cache_bytes=cache_tiles * 32 * 32 * 3)
    decoded = []
    decode = slide._decode_into
    monkeypatch.setattr(slide, "_decode_into", lambda *a: decoded.append(a[2:]) or decode(*a))
    corners = np.stack(np.meshgrid(np.arange(0, 672, 28), np.arange(0, 490, 28)), axis=2).reshape(-1, 2)
    for _ in slide.read_many(np.random.default_rng(0).permutation(corners), 28, 28):
        pass
    assert len(set(decoded)) == 21 * 16
    assert len(slide._cache((32, 32, 3))._tiles) <= min(cache_tiles, 60)
    # Stripes as narrow as a cache of 24 tiles makes them share a column of tiles with their neighbours.
    assert len(decoded) <= (21 * 16 if cache_tiles == 1000 else 1.15 * 21 * 16)


def test_a_slide_is_shared_by_threads_processes_and_copies(tmp_path, picture):
    path = write_levels(tmp_path / "slide.tif", picture)
    slide = JpegTiledSlide(path, cache_bytes=0)
    expected = slide.read_level(0, 0, 0, WIDTH, HEIGHT)
    corners = [(x, y) for x in range(0, 500, 37) for y in range(0, 300, 41)]

    def wrong(corner):
        x, y = corner
        return (slide.read(x, y, 150, 150) != expected[y : y + 150, x : x + 150]).any()

    with ThreadPoolExecutor(4) as pool:
        assert not any(pool.map(wrong, corners))
    process = multiprocessing.get_context("fork").Process(
        target=lambda: os._exit(int(any(map(wrong, corners))))
    )
    process.start()
    assert not any(map(wrong, corners))
    process.join()
    assert process.exitcode == 0
    copy = pickle.loads(pickle.dumps(slide))
    slide.close()
    np.testing.assert_array_equal(copy.read(5, 5, 100, 100), expected[5:105, 5:105])


def test_mpp_of_aperio_equals_openslides(tmp_path, picture):
    path = write_levels(tmp_path / "a.svs", picture, description=APERIO, metadata=None)
    with open_slide(path) as slide:
        assert type(slide) is JpegTiledSlide
        assert slide.mpp == 0.5021
    with OpenSlideSlide(path) as one:
        assert one.mpp == pytest.approx(0.5021)
