"""Numbers for reading, colours that can be told apart, JSON that cannot escape its element."""

import itertools
import json

import numpy as np
import pytest
from skimage.color import rgb2lab

from tissuemake.reporting import pages, palette
from tissuemake.reporting.tissue_view import choose_rows, encode_image, quantise


@pytest.mark.parametrize(
    ("value", "text"),
    [(7496.0, "7,496"), (0.12345, "0.123"), (-3.5, "−3.5"), (float("nan"), "–"), (None, "–"), (0, "0")],
)
def test_number(value, text):
    assert pages.number(value) == text


def test_fixed_has_no_negative_zero():
    assert pages.fixed(-0.0004, 3) == "0.000"
    assert pages.probability(1e-9) == "< 0.001"


def test_json_cannot_end_its_element():
    hostile = {"</script><!--": [np.float32("nan"), np.int64(3), "&lt;\u2028"]}
    text = str(pages.json_block(hostile))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"</script><!--": [None, 3, "&lt;\u2028"]}


def test_classes_are_apart_for_colour_blind_readers():
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in palette.CATEGORICAL])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    # Machado et al. 2009, severity 1: deuteranopia and protanopia in linear RGB.
    visions = [
        np.eye(3),
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    ]
    assert len(set(palette.CATEGORICAL)) == 24
    for vision in visions:
        seen = np.clip(linear @ np.array(vision).T, 0, 1)
        back = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
        lab = rgb2lab(back[None])[0]
        nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2))
        assert nearest > 14


@pytest.mark.parametrize("bits", [8, 16])
def test_quantised_values_come_back(bits):
    values = np.array([0.0, 0.3, np.nan, 7.5])
    codes, low, high = quantise(values, bits)
    top = 2**bits - 1
    assert codes[2] == top
    back = low + codes[[0, 1, 3]] / (top - 1) * (high - low)
    np.testing.assert_allclose(back, values[[0, 1, 3]], atol=(high - low) / (top - 1))
    assert quantise(np.array([np.nan]), bits)[0][0] == top


def test_large_samples_are_thinned_reproducibly():
    rows = choose_rows(400_000)
    assert len(rows) == len(np.unique(rows)) == 150_000
    np.testing.assert_array_equal(rows, choose_rows(400_000))


def test_an_image_of_one_colour_is_no_image():
    black = np.zeros((30, 40, 3), np.uint8)
    scales = {"tissue_hires_scalef": 0.1}
    assert encode_image({"images": {"hires": black}, "scalefactors": scales}) == ("", None)
    black[5:20] = 200
    uri, shown = encode_image({"images": {"hires": black}, "scalefactors": scales})
    assert uri.startswith("data:image/jpeg")
    assert shown == {"width": 40, "height": 30, "scale": 0.1}
