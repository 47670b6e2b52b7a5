"""Figures of half a million bins are as legible as those of a hundred spots."""

import numpy as np
import pytest

from tissuemake.reporting.figures import histogram, short


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (87, "87"),
        (9_999, "9,999"),
        (57_523, "58k"),
        (999_400, "999k"),
        (999_600, "1.0M"),
        (2.3e6, "2.3M"),
    ],
)
def test_a_count_fits_beside_its_axis(count, text):
    assert short(count) == text and len(text) <= 5


def test_the_highest_bar_is_named_in_short():
    assert ">40k</text>" in histogram({"kept": np.ones(40_000)}, unit="genes", noun="bins")
