"""µm per pixel that files state: OME, Aperio, resolution tags; nothing that only a screen or printer would have."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from tissuemake.resolution import plausible_mpp, slide_mpp

PIXELS = np.zeros((64, 64, 3), np.uint8)
APERIO = "Aperio Image Library v12.0\r\n64x64 JPEG/RGB Q=70|AppMag = 40|MPP = 0.2525|Left = 3"


def write(path, **options):
    tifffile.imwrite(path, PIXELS, photometric="rgb", tile=(64, 64), **options)
    return path


@pytest.mark.parametrize(
    ("per_unit", "unit", "expected"),
    [
        (2e4, "CENTIMETER", 0.5),
        (50_800, "INCH", 0.5),
        (72, "CENTIMETER", None),
        (72, "INCH", None),
        (2400, "INCH", None),  # 10.6 µm: a flatbed scanner
        (1e3, "CENTIMETER", 10.0),
        (2e4, "NONE", None),
    ],
)
def test_resolution_tags_are_believed_where_a_microscope_could_have_them(tmp_path, per_unit, unit, expected):
    path = write(tmp_path / "a.tif", resolution=(per_unit, per_unit), resolutionunit=unit)
    assert slide_mpp(path) == (pytest.approx(expected) if expected else None)


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [(274.0, "nm", 0.274), (0.5, "µm", 0.5), (5e-4, "mm", 0.5), (1.0, "pixel", None)],
)
def test_ome_is_believed_before_tags(tmp_path, size, unit, expected):
    path = tmp_path / "a.ome.tif"
    described = {"axes": "YXS", "PhysicalSizeX": size, "PhysicalSizeXUnit": unit}
    write(path, metadata=described, resolution=(1e4, 1e4), resolutionunit="CENTIMETER")
    assert slide_mpp(path) == (pytest.approx(expected) if expected else None)


def test_aperio_is_believed_before_tags(tmp_path):
    path = tmp_path / "a.svs"
    options = {"resolution": (1e4, 1e4), "resolutionunit": "CENTIMETER", "compression": "jpeg"}
    write(path, description=APERIO, metadata=None, **options)
    assert slide_mpp(path) == 0.2525


def test_what_says_nothing_gives_none(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "x.jpg", dpi=(25_400, 25_400))
    (tmp_path / "words.tif").write_text("not an image")
    assert slide_mpp(tmp_path / "x.jpg") is None
    assert slide_mpp(tmp_path / "words.tif") is None
    assert slide_mpp(write(tmp_path / "bare.tif")) is None
    assert plausible_mpp("unknown") is None


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "expected"),
    [("CMU-1-Small-Region.svs", 0.499), ("her2st_C2_crop_pyramid.ome.tif", 0.6881), ("boxes.tiff", None)],
)
def test_real_slides(data_dir, name, expected):
    found = slide_mpp(data_dir / "wsi" / name)
    assert found == (pytest.approx(expected, abs=1e-4) if expected else None)
