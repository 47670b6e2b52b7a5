"""A huge matrix is judged by some of its barcodes, each with its own values."""

import numpy as np

from tissuemake.ingest import open_reader
from tissuemake.quality import matrix_checks
from tissuemake.sheets import Sample
from whole_folders import visium


def test_blocks_of_barcodes_keep_their_own_rows(tmp_path, monkeypatch):
    reader = open_reader(Sample(**visium(tmp_path)))
    whole, stored = matrix_checks.read_matrix(reader)
    monkeypatch.setattr(matrix_checks, "MANY_VALUES", 100)
    # More blocks than fit side by side into 36 barcodes.
    monkeypatch.setattr(matrix_checks, "BLOCK_BARCODES", 10)
    monkeypatch.setattr(matrix_checks, "BLOCKS", 6)
    part, said = matrix_checks.read_matrix(reader)
    assert said == stored and list(part.obs_names) == list(whole.obs_names)
    seen = np.asarray(part.X.sum(axis=1)).ravel() > 0
    assert 0 < seen.sum() < part.n_obs
    assert (part.X[seen] != whole.X[seen]).nnz == 0
