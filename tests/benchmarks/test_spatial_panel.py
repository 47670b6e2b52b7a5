"""A panel without some genes is as if nobody had measured them, and who speaks of few genes is scored on few."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from benchmarks import spatial_panel as panel
from benchmarks.spatial_panel_answers import BOTH, MEANS, OWN, answer
from tissuemake.contracts import FILTERED, read_anndata, write_anndata


def cells(seed: int, side: int = 16) -> ad.AnnData:
    """Cells on a square; the first ten genes rise to the right, the others to the left."""
    rng = np.random.default_rng(seed)
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(side), np.arange(side)))
    slope = np.where(np.arange(20) < 10, 1.5, -1.5)
    counts = sp.csr_matrix(rng.poisson(4 * np.exp(slope * (x[:, None] / side - 0.5))).astype(np.float32))
    total = np.asarray(counts.sum(axis=1)).ravel()
    found = ad.AnnData(
        sp.csr_matrix(np.log1p(counts.toarray() / total[:, None] * 1e4)),
        obs=pd.DataFrame(
            {"in_tissue": True, "total_counts": total, "n_genes_by_counts": np.diff(counts.indptr)},
            index=[f"c{i}" for i in range(side**2)],
        ),
        var=pd.DataFrame({"gene_id": ""}, index=[f"G{i:02d}" for i in range(20)]),
        layers={"counts": counts},
        obsm={"spatial": np.column_stack([x, y]) * 10.0},
    )
    found.uns["spatial"] = {"a": {"images": {}, "scalefactors": {"microns_per_pixel": 1.0}, "metadata": {}}}
    found.uns["tissuemake"] = {"sample": "a", "observation": "cell", "lattice": "none", "pitch_um": 0.0}
    found.uns["dropped"] = pd.DataFrame(columns=["reason", "x", "y", "total_counts"])
    return found


@pytest.fixture
def files(tmp_path):
    for name, seed in (("teach", 0), ("asked", 1)):
        write_anndata(cells(seed), tmp_path / f"{name}.h5ad", FILTERED)
    return tmp_path / "teach.h5ad", tmp_path / "asked.h5ad"


def test_a_fifth_is_hidden_and_nothing_of_it_is_left_in_the_file(files, tmp_path):
    whole = read_anndata(files[1], FILTERED)
    hidden = panel.hidden_genes(whole, 0)
    assert len(hidden) == 4 and hidden == panel.hidden_genes(whole, 0) != panel.hidden_genes(whole, 1)
    left = read_anndata(panel.without(files[1], hidden, tmp_path / "less.h5ad"), FILTERED)
    assert not set(hidden) & set(left.var_names) and left.n_vars == 16
    counts = left.layers["counts"].toarray()
    assert np.allclose(left.obs["total_counts"], counts.sum(axis=1))
    assert np.allclose(
        left.X.toarray(), np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4), atol=1e-4
    )


def test_ridges_find_a_gene_that_was_not_measured_and_need_no_column_of_it(files, tmp_path):
    teach, asked = files
    whole = read_anndata(asked, FILTERED)
    hidden = panel.hidden_genes(whole, 0)
    less = panel.without(asked, hidden, tmp_path / "less.h5ad")
    for method in (OWN, BOTH):
        assert panel.scores(whole, hidden, set(), answer(None, method, teach, less, hidden))["r"] > 0.3
    for method in MEANS:
        assert panel.scores(whole, hidden, set(), answer(None, method, teach, asked, hidden))["r"] > 0.3
        with pytest.raises(KeyError):
            answer(None, method, teach, less, hidden)


def test_who_does_not_speak_of_a_gene_has_no_score_over_all_and_zero_where_the_reference_has_it(files):
    whole = read_anndata(files[1], FILTERED)
    hidden = ["G00", "G01", "G15"]
    truth = {gene: whole[:, gene].X.toarray().ravel() for gene in hidden}
    every = panel.scores(whole, hidden, {"G00", "G01"}, truth)
    assert every["r"] == pytest.approx(1) and every["r, in the reference"] == pytest.approx(1)
    some = panel.scores(whole, hidden, {"G00", "G01"}, {"G00": truth["G00"]})
    assert "r" not in some and some["r, in the reference"] == pytest.approx(0.5)
