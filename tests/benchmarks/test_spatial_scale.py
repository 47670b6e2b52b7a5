"""The scale benchmark measures what it says, on few cells."""

import anndata as ad
import numpy as np
import pytest

from benchmarks import spatial_scale
from tissuemake.contracts import FILTERED, read_anndata


def test_rows_of_the_table(tmp_path):
    table = spatial_scale.measure(["graph"], [600], tmp_path)
    assert table["cells"].tolist() == [600]
    assert (table["peak MB"] >= table["data MB"]).all() and (table["data MB"] > 50).all()
    assert table["us per cell"].to_numpy() == pytest.approx(table["CPU seconds"] / table["cells"] * 1e6)
    assert table["neighbors"].between(20, 36).all()
    cells = read_anndata(tmp_path / "cells600_0.h5ad", FILTERED)
    assert cells.shape == (600, spatial_scale.GENES)


def test_cells_are_no_denser_on_a_larger_section():
    small, large = (spatial_scale.simulated_cells(n, 0) for n in (1000, 4000))
    assert np.ptp(large.obsm["spatial"]) == pytest.approx(2 * np.ptp(small.obsm["spatial"]), rel=0.05)
    assert small.layers["counts"].sum() / 1000 == pytest.approx(spatial_scale.TRANSCRIPTS, rel=0.05)
    assert isinstance(small, ad.AnnData)
