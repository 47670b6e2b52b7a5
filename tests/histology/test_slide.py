"""Slides: identical pixels from every reader, the pyramid used, white outside, damage named."""

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from tissuemake.errors import InputError
from tissuemake.histology.image import resize
from tissuemake.histology.jpeg_tiles import JpegTiledSlide
from tissuemake.histology.readers import FlatSlide, OpenSlideSlide, TiffSlide
from tissuemake.histology.slide import open_slide


@pytest.fixture
def picture() -> np.ndarray:
    """600 x 400 pixels, each of another colour."""
    rows, columns = np.indices((400, 600))
    return np.stack([rows % 256, columns % 256, (rows + columns) // 4 % 256], axis=2).astype(np.uint8)


def write_pyramid(path, picture, mpp=0.5):
    """A generic tiled pyramid of two levels, as OpenSlide and tifffile both read it."""
    resolution = (1e4 / mpp, 1e4 / mpp)
    options = {"tile": (128, 128), "photometric": "rgb", "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as writer:
        writer.write(picture, resolution=resolution, compression="deflate", **options)
        half = (1e4 / mpp / 2, 1e4 / mpp / 2)
        writer.write(picture[::2, ::2], resolution=half, subfiletype=1, compression="deflate", **options)
    return path


def test_region_is_the_same_crop_from_every_reader(tmp_path, picture):
    tiff = write_pyramid(tmp_path / "slide.tif", picture)
    Image.fromarray(picture).save(tmp_path / "slide.png")
    for slide in (OpenSlideSlide(tiff), TiffSlide(tiff), open_slide(tmp_path / "slide.png")):
        with slide:
            assert slide.dimensions == (600, 400)
            np.testing.assert_array_equal(slide.read(130, 70, 50, 40), picture[70:110, 130:180])


def test_outside_of_the_slide_is_white(tmp_path, picture):
    with open_slide(write_pyramid(tmp_path / "slide.tif", picture)) as slide:
        region = slide.read(-20, 390, 40, 30)
        np.testing.assert_array_equal(region[:10, 20:], picture[390:400, :20])
        assert (region[:, :20] == 255).all()
        assert (region[10:] == 255).all()
        assert (slide.read(5000, 5000, 8, 8) == 255).all()


def test_reduced_regions_come_from_the_pyramid(tmp_path, picture):
    """Level 1 is inverted here, so that its use shows."""
    path = tmp_path / "slide.tif"
    options = {"tile": (128, 128), "photometric": "rgb"}
    with tifffile.TiffWriter(path) as writer:
        writer.write(picture, **options)
        writer.write(255 - picture[::2, ::2], subfiletype=1, **options)
    for reader in (OpenSlideSlide, TiffSlide):
        with reader(path) as slide:
            assert slide.downsamples == (1.0, 2.0)
            np.testing.assert_array_equal(slide.read(100, 40, 30, 20, 2.0), 255 - picture[40:80:2, 100:160:2])
            np.testing.assert_array_equal(slide.read(100, 40, 30, 20, 1.0), picture[40:60, 100:130])


def test_enlarged_region_covers_the_same_tissue(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "slide.png")
    with open_slide(tmp_path / "slide.png") as slide:
        enlarged = slide.read(100, 100, 200, 200, 0.5)
    means = enlarged.reshape(100, 2, 100, 2, 3).mean((1, 3))
    assert np.abs(means - picture[100:200, 100:200]).max() < 3


def test_the_scale_of_a_level_gives_plain_crops(tmp_path, picture):
    """As 0.499 µm per pixel does for tiles at 0.5, and a quarter of a pixel beside the level's raster."""
    with open_slide(write_pyramid(tmp_path / "slide.tif", picture)) as slide:
        np.testing.assert_array_equal(
            slide.read(100.3, 40.2, 224, 224, 0.5 / 0.499), picture[40:264, 100:324]
        )
        np.testing.assert_array_equal(slide.read(100.5, 40.5, 60, 50, 2.0), picture[40:140:2, 100:220:2])


@pytest.mark.parametrize("size", [(224, 224), (90, 70), (448, 447)])
def test_resized_pixels_are_those_of_pil_but_for_rounding(picture, size):
    crop = np.ascontiguousarray(picture[50:213, 30:196])
    expected = Image.fromarray(crop).resize(size, Image.Resampling.BICUBIC)
    difference = resize(crop, *size).astype(int) - np.asarray(expected)
    assert np.abs(difference).max() <= 1
    assert (difference != 0).mean() < 0.005


def test_regions_of_few_pixels_keep_their_fractions(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "slide.png")
    with open_slide(tmp_path / "slide.png") as slide:
        at, shifted = (slide.read(x, 100, 240, 240, 0.05) for x in (100, 100.4))
    # A pixel of the picture is 20 of the result: its columns move by 8.
    assert np.abs(at[:, 20:220].astype(int) - shifted[:, 12:212]).mean() < 0.02
    assert np.abs(at.astype(int) - shifted).mean() > 0.1


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ({"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}, 0.5),
        ({"resolution": (72, 72)}, None),
        ({}, None),
    ],
)
def test_mpp_comes_from_the_file_or_is_none(tmp_path, picture, description, expected):
    tifffile.imwrite(tmp_path / "slide.tif", picture, photometric="rgb", **description)
    assert open_slide(tmp_path / "slide.tif").mpp == expected


def test_ome_tiff_gives_mpp_and_the_pyramid_in_subifds(tmp_path, picture):
    path = tmp_path / "slide.ome.tif"
    with tifffile.TiffWriter(path) as writer:
        metadata = {"axes": "YXS", "PhysicalSizeX": 274.0, "PhysicalSizeXUnit": "nm"}
        writer.write(picture, photometric="rgb", tile=(128, 128), subifds=1, metadata=metadata)
        writer.write(picture[::2, ::2], photometric="rgb", tile=(128, 128), subfiletype=1)
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx(0.274)
        assert slide.downsamples == (1.0, 2.0)


@pytest.mark.parametrize("shape", [(50, 60), (50, 60, 4), (3, 50, 60)])
def test_grey_transparent_and_planar_images_become_rgb(tmp_path, shape):
    pixels = np.full(shape, 80, np.uint8)
    if shape[-1] == 4:
        pixels[..., 3] = 0
    kind = {2: "minisblack", 3: "rgb"}[len(shape)]
    extra = {"planarconfig": "separate"} if shape[0] == 3 else {}
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=kind, **extra)
    region = open_slide(tmp_path / "a.tif").read(10, 10, 20, 10)
    assert region.shape == (10, 20, 3)
    assert (region == (255 if shape[-1] == 4 else 80)).all()


@pytest.mark.parametrize("step", [1, 256])
def test_eight_and_sixteen_bit_values_are_told_apart_band_by_band(tmp_path, picture, monkeypatch, step):
    tifffile.imwrite(tmp_path / "deep.tif", picture.astype(np.uint16) * step, photometric="rgb")
    monkeypatch.setattr("tissuemake.histology.readers.BAND_PIXELS", 600 * 50)
    with TiffSlide(tmp_path / "deep.tif") as slide:
        region = slide.read(0, 0, 600, 400)
    np.testing.assert_array_equal(region, picture)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, np.memmap),
        ({"compression": "deflate", "rowsperstrip": 400}, np.ndarray),
        ({"compression": "deflate", "rowsperstrip": 16}, zarr.Array),
        ({"compression": "jpeg2000", "tile": (128, 128)}, zarr.Array),
    ],
)
def test_what_lies_in_one_piece_is_mapped_or_decoded_once(tmp_path, picture, monkeypatch, options, kind):
    monkeypatch.setattr("tissuemake.histology.readers.BAND_PIXELS", 600 * 100 * 3)
    tifffile.imwrite(tmp_path / "slide.tif", picture, photometric="rgb", **options)
    with TiffSlide(tmp_path / "slide.tif") as slide:
        assert type(slide._levels[0]) is kind
        np.testing.assert_array_equal(slide.read(130, 70, 50, 40), picture[70:110, 130:180])


@pytest.mark.parametrize("name", ["giant.jpg", "giant.png", "giant.tif"])
def test_a_giant_picture_in_one_piece_is_refused_with_the_way_to_convert_it(
    tmp_path, picture, monkeypatch, name
):
    monkeypatch.setattr("tissuemake.histology.readers.BAND_PIXELS", 1000)
    monkeypatch.setattr("tissuemake.pixel_limits.MOST_WHOLE_PIXELS", 600 * 400 - 1)
    if name.endswith("tif"):
        tifffile.imwrite(tmp_path / name, picture, compression="deflate", rowsperstrip=400)
    else:
        Image.fromarray(picture).save(tmp_path / name)
    with pytest.raises(InputError, match=name) as caught:
        open_slide(tmp_path / name)
    assert caught.value.code == "picture_too_large"
    assert "vips tiffsave" in caught.value.remedy


QPI = (
    '<?xml version="1.0" encoding="utf-8"?><PerkinElmer-QPI-ImageDescription>'
    "<ImageType>{}</ImageType></PerkinElmer-QPI-ImageDescription>"
)


def test_of_a_qptiff_thumbnail_overview_and_label_are_no_levels(tmp_path, picture):
    path = tmp_path / "slide.qptiff"
    options = {"photometric": "rgb", "compression": "jpeg", "metadata": None, "software": "PerkinElmer-QPI"}
    with tifffile.TiffWriter(path, bigtiff=True) as writer:

        def write(pixels, kind, **more):
            writer.write(pixels, description=QPI.format(kind), **options, **more)

        where = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
        write(picture, "FullResolution", tile=(128, 128), **where)
        write(picture[::8, ::8], "Thumbnail")
        write(picture[::2, ::2], "ReducedResolution", tile=(128, 128), subfiletype=1)
        write(picture[::4, ::4], "ReducedResolution", tile=(128, 128), subfiletype=1)
        write(picture[:50, :80], "Overview")
        write(picture[:40, :60], "Label")
    with open_slide(path) as slide:
        assert type(slide) is JpegTiledSlide
        assert (slide.dimensions, slide.downsamples, slide.mpp) == ((600, 400), (1.0, 2.0, 4.0), 0.5)


def test_thumbnail_of_a_slide_without_pyramid_is_read_in_bands(tmp_path, picture, monkeypatch):
    Image.fromarray(picture).save(tmp_path / "slide.png")
    slide = open_slide(tmp_path / "slide.png")
    whole, downsample = slide.thumbnail(150)
    monkeypatch.setattr("tissuemake.histology.image.BAND_PIXELS", 600 * 4 * 8)
    rows = []
    decode = slide._decode
    monkeypatch.setattr(slide, "_decode", lambda *a: rows.append(a[-1]) or decode(*a))
    banded, _ = slide.thumbnail(150)
    assert downsample == 4.0
    assert whole.shape == banded.shape == (100, 150, 3)
    assert max(rows) <= 32 and len(rows) == 13
    assert np.abs(whole.astype(int) - banded).mean() < 3


@pytest.mark.parametrize("name", ["cut.png", "cut.tif", "cut.svs", "words.jpg"])
def test_a_damaged_slide_is_an_error_that_names_it(tmp_path, picture, name):
    path = tmp_path / name
    if name == "words.jpg":
        path.write_text("no picture")
    else:
        whole = tmp_path / f"whole{path.suffix.replace('svs', 'tif')}"
        if path.suffix == ".png":
            Image.fromarray(picture).save(whole)
        else:
            write_pyramid(whole, picture)
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    with pytest.raises(InputError, match=name) as caught:
        open_slide(path).read(0, 0, 600, 400)
    assert caught.value.code == "unreadable_slide"


def test_a_missing_slide_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"gone\.tif") as caught:
        open_slide(tmp_path / "gone.tif")
    assert caught.value.code == "missing_slide"


@pytest.mark.real
@pytest.mark.parametrize(
    "name",
    ["CMU-1-Small-Region.svs", "boxes.tiff", "her2st_C2_crop_pyramid.tif", "her2st_C2_crop_pyramid.ome.tif"],
)
def test_openslide_and_tifffile_agree_on_real_slides(data_dir, name):
    with OpenSlideSlide(data_dir / "wsi" / name) as one, TiffSlide(data_dir / "wsi" / name) as other:
        width, height = one.dimensions
        for x, y in ((0, 0), (101, 57), (width - 100, height - 90)):
            np.testing.assert_array_equal(one.read(x, y, 200, 150), other.read(x, y, 200, 150))


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "reader", "levels", "mpp"),
    [
        ("CMU-1-Small-Region.svs", JpegTiledSlide, 1, 0.499),
        ("boxes.tiff", OpenSlideSlide, 4, None),
        ("her2st_C2_crop_pyramid.tif", JpegTiledSlide, 4, 0.6881),
        ("her2st_C2_crop_pyramid.ome.tif", JpegTiledSlide, 3, 0.6881),
        ("smalltif.tif", TiffSlide, 1, None),
    ],
)
def test_real_slides_open_with_the_reader_that_sees_most(data_dir, name, reader, levels, mpp):
    with open_slide(data_dir / "wsi" / name) as slide:
        assert type(slide) is reader
        assert len(slide.downsamples) == levels
        assert slide.mpp == (pytest.approx(mpp) if mpp else None)
        assert slide.thumbnail(100)[0].std() > 5


@pytest.mark.real
def test_the_corrupt_real_slide_is_refused_at_opening(data_dir):
    with pytest.raises(InputError, match=r"unreadable\.svs"):
        open_slide(data_dir / "wsi" / "unreadable.svs")


@pytest.mark.real
def test_a_jpg_over_the_limit_of_pil_opens(data_dir):
    slide = open_slide(data_dir / "st_her2" / "images" / "C2_5714_HE_BT_C2.jpg")
    assert type(slide) is FlatSlide
    assert slide.dimensions == (9274, 9911)
