"""Images at report size from every kind of file, and nothing believed that is not plausible."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from tissuemake.errors import InputError
from tissuemake.ingest import images


@pytest.fixture
def gradient():
    """A 1200 × 1600 picture whose colours tell the place."""
    y, x = np.indices((1200, 1600))
    return np.stack([x // 7, y // 5, (x + y) // 12], axis=-1).astype(np.uint8)


def _pyramid(path, picture):
    with tifffile.TiffWriter(path) as tiff:
        for level, factor in enumerate((1, 2, 4)):
            tiff.write(
                picture[::factor, ::factor],
                tile=(256, 256),
                photometric="rgb",
                subfiletype=int(level > 0),
                resolution=(20000 / factor, 20000 / factor),
                resolutionunit="CENTIMETER",
            )


def _ome(path, picture):
    with tifffile.TiffWriter(path, ome=True) as tiff:
        meta = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}
        tiff.write(picture, tile=(256, 256), photometric="rgb", subifds=1, metadata=meta)
        tiff.write(picture[::2, ::2], tile=(256, 256), photometric="rgb", subfiletype=1)


WRITERS = {
    "x.png": lambda path, picture: Image.fromarray(picture).save(path),
    "x.jpg": lambda path, picture: Image.fromarray(picture).save(path, quality=95),
    "flat.tif": lambda path, picture: tifffile.imwrite(path, picture, photometric="rgb"),
    "planar.tif": lambda path, picture: tifffile.imwrite(
        path, np.moveaxis(picture, -1, 0), photometric="rgb", planarconfig="separate"
    ),
    "pyramid.tif": _pyramid,
    "x.ome.tif": _ome,
}


@pytest.mark.parametrize("name", WRITERS)
def test_thumbnail_shows_the_same_place(gradient, tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path, gradient)
    assert images.image_size(path) == (1600, 1200)
    small = images.thumbnail(path, 200)
    assert small.shape == (150, 200, 3)
    expected = gradient.reshape(150, 8, 200, 8, 3).mean((1, 3))
    assert np.abs(small.astype(float) - expected)[2:-2, 2:-2].mean() < 4


def test_large_flat_tiff_is_walked_by_tiles(gradient, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "WHOLE_LEVEL_PIXELS", 1000)
    for name, kwargs in {
        "tiles.tif": {"tile": (256, 256)},
        "strips.tif": {"rowsperstrip": 100},
        "planar.tif": {"tile": (256, 256), "planarconfig": "separate"},
    }.items():
        picture = np.moveaxis(gradient, -1, 0) if name == "planar.tif" else gradient
        tifffile.imwrite(tmp_path / name, picture, photometric="rgb", **kwargs)
        small = images.thumbnail(tmp_path / name, 200)
        expected = gradient.reshape(150, 8, 200, 8, 3).mean((1, 3))
        assert np.abs(small.astype(float) - expected).mean() < 4


def test_sixteen_bit_is_stretched(tmp_path):
    dapi = np.full((300, 300), 150, np.uint16)
    dapi[100:150, 100:150] = 4000
    tifffile.imwrite(tmp_path / "dapi.tif", dapi, tile=(64, 64))
    shown = images.thumbnail(tmp_path / "dapi.tif")
    assert shown.dtype == np.uint8
    assert shown[120, 120].tolist() == [255] * 3
    assert shown[10, 10].tolist() == [0] * 3


def test_alpha_palette_and_grey_become_rgb(tmp_path):
    for mode in ("RGBA", "P", "L", "LA"):
        picture = Image.new("RGB", (5, 4), (10, 10, 10))
        picture.convert(mode, palette=Image.Palette.ADAPTIVE).save(tmp_path / f"{mode}.png")
        loaded = images.load_image(tmp_path / f"{mode}.png")
        assert loaded.shape == (4, 5, 3)
        assert (np.abs(loaded.astype(int) - 10) <= 1).all()


def test_larger_than_pils_bomb_limit(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((80, 80, 3), np.uint8)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert images.thumbnail(tmp_path / "x.png", 40).shape == (40, 40, 3)
    assert images.image_size(tmp_path / "x.png") == (80, 80)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_no_image_at_all(tmp_path):
    (tmp_path / "x.tif").write_text("not an image")
    for look in (images.thumbnail, images.image_size, images.load_image):
        with pytest.raises(InputError, match=r"x\.tif") as caught:
            look(tmp_path / "x.tif")
        assert caught.value.code == "unreadable_image"


def test_slides_of_other_vendors(data_dir):
    slide = data_dir / "wsi/CMU-1-Small-Region.svs"
    assert images.image_size(slide) == (2220, 2967)
    assert images.thumbnail(slide, 500).shape == (500, 374, 3)
    one, two = (
        images.thumbnail(data_dir / f"wsi/her2st_C2_crop_pyramid.{kind}", 512).astype(float)
        for kind in ("tif", "ome.tif")
    )
    assert one.shape == two.shape == (512, 512, 3)
    with pytest.raises(InputError) as caught:
        images.thumbnail(data_dir / "wsi/unreadable.svs")
    assert caught.value.code == "unreadable_image"
