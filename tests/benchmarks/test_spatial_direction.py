"""The benchmark of direction: its baselines see what is planted, and its slides are filtered samples."""

import numpy as np
import pandas as pd

from benchmarks.spatial_direction import METHODS, correlated, simulated_slide
from models.sagefm import toy_signals
from tissuemake.contracts import FILTERED, check_anndata


def test_correlations_see_planted_ligands_and_the_way_back_as_well():
    """Without the spot's own state the two directions look alike: what the benchmark is there to show."""
    adata = toy_signals.section(1)
    signals = pd.DataFrame({"ligand": toy_signals.LIGANDS, "receptor": "R", "target": toy_signals.TARGETS})
    table = correlated(adata, signals)
    planted = np.arange(toy_signals.SENDERS) < toy_signals.PLANTED
    for column in ("plain", "plain_swapped", "partial", "moran"):
        assert table[column][planted].min() > table[column][~planted].max() + 0.1, column
    assert (table["partial_swapped"] < table["partial"])[planted].all()
    assert {column for kind, column in METHODS.values() if kind == "correlations"} <= set(table)


def test_a_slide_is_a_filtered_sample_with_its_truth():
    adata, signals = simulated_slide(1, "layered", 30, 700, 2)
    check_anndata(adata, FILTERED, "slide")
    assert 20 < adata.n_obs < 45 and set(signals["ligand"]) <= set(adata.var_names)
    np.testing.assert_allclose(np.expm1(adata.X.toarray()).sum(axis=1), 1e4, rtol=1e-3)
