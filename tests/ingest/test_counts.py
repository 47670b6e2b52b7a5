"""Barcodes are text whatever a file keeps them as, and millions in order need no table to be told apart."""

import numpy as np
import pandas as pd
import pytest

from tissuemake.errors import InputError
from tissuemake.ingest.counts import barcode_index, check_counts, make_counts


@pytest.mark.parametrize(
    ("stored", "texts"),
    [
        (np.array([b"AC-1", b"ACGT-1"]), ["AC-1", "ACGT-1"]),
        (np.array([b"AC-1", b"G-1"], object), ["AC-1", "G-1"]),
        (np.array(["AC-1", "ACGT-1"]), ["AC-1", "ACGT-1"]),
        (pd.Series(["AC-1", 7]), ["AC-1", "7"]),
        (pd.Series([7, 12]), ["7", "12"]),
        ([], []),
    ],
)
def test_barcodes_are_text(stored, texts):
    index = barcode_index(stored)
    assert list(index) == texts and index.dtype == object


@pytest.mark.parametrize("looked_up", [False, True])
def test_barcodes_in_order_are_told_apart_without_a_table(looked_up):
    names = np.array([f"s_002um_{number:05d}_00000-1" for number in range(3000)])
    counts = make_counts(np.ones((3000, 1)), np.roll(names, 1) if looked_up else names, ["GENE"])
    check_counts(counts, "Sample 'a'")
    assert counts.obs_names.is_unique and counts.obs_names._engine.is_mapping_populated == looked_up


def test_a_barcode_that_stands_twice_is_named():
    counts = make_counts(np.ones((3, 1)), ["a", "b", "b"], ["GENE"])
    with pytest.raises(InputError, match="'b' stands more than once"):
        check_counts(counts, "Sample 'a'")
