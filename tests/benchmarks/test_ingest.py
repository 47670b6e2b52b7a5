"""What the benchmark of ingest makes is what the readers take for a vendor's folder; counts agree with transcripts."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import ingest
from benchmarks.ingest_tasks import row
from benchmarks.large_inputs import write_visium_hd, write_xenium
from tissuemake.ingest import open_reader


def test_the_large_bundle_is_one_whose_matrix_counts_its_transcripts(tmp_path):
    bundle = write_xenium(tmp_path / "bundle", cells=90, transcripts=4000)
    whole = open_reader(row(bundle, "xenium")).read()
    (bundle / "cell_feature_matrix.h5").unlink()
    counted = open_reader(row(bundle, "xenium")).read()
    assert whole.n_obs == 90 and whole.n_vars == 480
    common = whole[counted.obs_names, counted.var_names].to_df()
    assert (common == counted.to_df()).all(axis=None) and common.to_numpy().sum() == whole.X.sum()
    assert np.array_equal(whole[counted.obs_names].obsm["spatial"], counted.obsm["spatial"])


def test_the_large_slide_of_bins_is_read_at_both_sizes(tmp_path):
    folder = write_visium_hd(tmp_path / "hd", side=24, n_genes=300)
    fine, coarse = (open_reader(row(folder, "visium_hd", bin_um=size)).read() for size in ("2", "8"))
    assert (fine.n_obs, coarse.n_obs) == (24**2, 6**2)
    spread = [np.ptp(each.obsm["spatial"], axis=0) for each in (fine, coarse)]
    assert spread[0] == pytest.approx([23 * 4.0] * 2) and spread[1] == pytest.approx([5 * 16.0] * 2)


def test_the_page_has_a_table_for_each_input():
    cost = {"seconds": 1.0, "cpu_seconds": 0.5, "megabytes": 200}
    rows = [{"input": name, "what": what, **cost} for name in ("A", "B") for what in ("ours", "theirs")]
    said = ingest.page(rows)
    assert said.count("## ") == 2 and said.count("| ours") == 2
    assert "peak MB" in said and pd.DataFrame(rows)["what"].nunique() == 2
