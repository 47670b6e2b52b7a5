"""The sections that fusion is measured on: what is aligned with what, and what thinning keeps."""

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks import fusion_data
from benchmarks.fusion_data import TYPES, World, section_of, thinned
from tissuemake.histology.color import FEATURES

WORLD = World(seed=3, n_genes=400, spots=60)


def read(folder, **changes):
    return section_of(WORLD, folder, **{"donor": "a", "zones": "glandular", "seed": 5} | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sections")


def test_counts_composition_and_tiles_are_of_the_same_spots(folder):
    section = read(folder)
    spots = len(section.composition)
    assert section.counts.shape == (spots, 400) and section.embedding.shape == (spots, len(FEATURES))
    np.testing.assert_allclose(section.composition.sum(axis=1), 1)
    fat = section.composition[:, list(TYPES).index("Adipocyte")] > 0.3
    clear = section.embedding[:, FEATURES.index("spot_clear_share")]
    assert fat.sum() > 3 and clear[fat].mean() > 3 * clear[~fat].mean()
    epithelium = section.composition[:, :2].sum(axis=1)
    markers = np.array(["EPCAM" in gene or gene.startswith("KRT") for gene in section.genes])
    share = np.asarray(section.counts[:, markers].sum(axis=1)).ravel() / section.counts.sum(axis=1).A1
    assert np.corrcoef(share, epithelium)[0, 1] > 0.8


def test_a_kept_section_is_not_painted_again(folder, monkeypatch):
    first = read(folder)
    monkeypatch.setattr(fusion_data, "render", lambda *given: pytest.fail("painted again"))
    again = read(folder)
    assert (first.counts != again.counts).nnz == 0
    np.testing.assert_array_equal(first.embedding, again.embedding)


def test_donors_share_the_biology_but_not_the_section(folder):
    here, there = read(folder), read(folder, donor="b", seed=6)
    assert list(here.genes) == list(there.genes)
    profiles = [np.log1p(np.asarray(section.counts.mean(axis=0)).ravel()) for section in (here, there)]
    assert 0.8 < np.corrcoef(*profiles)[0, 1] < 0.9999
    assert here.composition.shape != there.composition.shape or not np.allclose(
        here.composition, there.composition
    )


def test_thinning_reaches_the_depth_and_keeps_spots_in_proportion():
    rng = np.random.default_rng(0)
    depth = rng.uniform(500, 4000, 200)
    counts = sp.csr_matrix(rng.poisson(depth[:, None] / 300, (200, 300)).astype(np.float32))
    thin = thinned(counts, 100, rng)
    totals, before = thin.sum(axis=1).A1, counts.sum(axis=1).A1
    assert np.median(totals) == pytest.approx(100, rel=0.1)
    assert np.corrcoef(totals, before)[0, 1] > 0.9 and (thin > counts).nnz == 0
    assert (thinned(counts, None, rng) != counts).nnz == 0
    assert (thinned(counts, 1e9, rng) != counts).nnz == 0
