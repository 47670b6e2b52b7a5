"""An atlas as tensors: markers stay in the vocabulary, a donor stands on one side, profiles are those of all genes."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from models.sparank import tiny
from tissuemake.contracts import MARKERS, REFERENCE, read_anndata, read_table
from tissuemake.models.sparank.atlas import as_reference, choose_genes, part, split_donors


@pytest.fixture
def atlas(prepared) -> ad.AnnData:
    return read_anndata(prepared[0], REFERENCE)


@pytest.fixture
def markers(prepared) -> pd.DataFrame:
    return read_table(prepared[1], MARKERS)


def test_the_vocabulary_keeps_the_markers_of_every_type(atlas, markers):
    for most in (20, 60, 120):
        chosen = choose_genes(atlas, markers, most)
        assert len(chosen) == most and (np.diff(chosen) > 0).all()
        best = markers[markers["rank"] <= min(most // len(tiny.TYPES), tiny.MARKERS)]
        assert set(best["gene"]) <= set(atlas.var_names[chosen])


def test_the_rest_of_the_vocabulary_differs_between_types(atlas, markers):
    few = markers[markers["rank"] <= 2]
    chosen = choose_genes(atlas, few, 60)
    planted = [gene for kind in range(5) for gene in tiny.markers_of(kind)]
    assert set(planted) <= set(atlas.var_names[chosen])


def test_an_atlas_of_few_genes_is_taken_whole_and_unknown_markers_are_passed_over(atlas, markers):
    assert choose_genes(atlas, markers, atlas.n_vars).tolist() == list(range(atlas.n_vars))
    strange = markers.assign(gene="not in the atlas")
    chosen = choose_genes(atlas, strange, 30)
    assert len(chosen) == 30 and chosen.min() >= 0


def test_fewer_genes_than_types_is_still_a_vocabulary(atlas, markers):
    assert len(choose_genes(atlas, markers, 3)) == 3


def test_the_order_of_the_marker_table_does_not_matter(atlas, markers):
    shuffled = markers.sample(frac=1, random_state=0)
    assert choose_genes(atlas, shuffled, 60).tolist() == choose_genes(atlas, markers, 60).tolist()


@pytest.mark.parametrize("seed", range(4))
def test_a_donor_is_never_on_both_sides(atlas, seed):
    kept, held_out, by_donor = split_donors(atlas, seed)
    assert by_donor and (kept ^ held_out).all()
    donors = atlas.obs["donor"].astype(str)
    assert not set(donors[kept]) & set(donors[held_out]) and donors[held_out].nunique() == 1


def test_other_seeds_hold_out_other_donors(atlas):
    donors = atlas.obs["donor"].astype(str)
    held = [tuple(donors[split_donors(atlas, seed)[1]].unique()) for seed in range(8)]
    assert len(set(held)) > 1
    assert (split_donors(atlas, 3)[1] == split_donors(atlas, 3)[1]).all()


def fallen_back(atlas, seed=0):
    kept, held_out, by_donor = split_donors(atlas, seed)
    assert not by_donor and (kept ^ held_out).all()
    kinds = atlas.obs["cell_type"].astype(str)
    assert set(kinds[kept]) == set(kinds)
    return kept, held_out, kinds


@pytest.mark.parametrize("seed", range(3))
def test_cells_are_split_when_a_type_would_vanish(atlas, seed):
    """Every donor is the only one with some type, so that none can be spared."""
    own = atlas.obs["cell_type"].astype(str).map(dict(zip(tiny.TYPES, "abcde", strict=True)))
    atlas.obs["donor"] = own.to_numpy()
    _, held_out, kinds = fallen_back(atlas, seed)
    assert (kinds[held_out].value_counts() == 12).all() and kinds[held_out].nunique() == 5


def test_cells_are_split_when_there_is_one_donor(atlas):
    atlas.obs["donor"] = "only"
    fallen_back(atlas)
    first, second = (split_donors(atlas, seed)[1] for seed in (0, 1))
    assert (first != second).any()


def test_a_type_of_two_cells_keeps_them_for_training(atlas):
    few = atlas[np.r_[0:2, 60 : atlas.n_obs]]
    few.obs["donor"] = "only"
    _, held_out, kinds = fallen_back(few.copy())
    assert "B cell" not in set(kinds[held_out])


def test_profiles_do_not_depend_on_the_choice_of_genes(atlas):
    whole = as_reference(atlas, np.arange(atlas.n_vars), tiny.TYPES)
    some = np.array([3, 50, 77])
    few = as_reference(atlas, some, tiny.TYPES)
    torch.testing.assert_close(few.signature, whole.signature[some])
    torch.testing.assert_close(few.medians, whole.medians[some])
    torch.testing.assert_close(whole.signature.sum(0), torch.full((5,), 1e4), rtol=1e-5, atol=0)
    assert whole.kinds.tolist() == [0, 1, 2, 3, 4]


def test_signatures_are_means_and_medians_leave_out_zeros():
    counts = np.array([[1, 3, 0], [3, 1, 0], [0, 2, 0], [0, 2, 0.0]])
    obs = pd.DataFrame({"cell_type": ["a", "a", "b", "b"], "donor": "d"}, index=list("wxyz"))
    small = ad.AnnData(sp.csr_matrix(counts), obs=obs)
    found = as_reference(small, np.arange(3), ["a", "b"])
    assert found.signature.tolist() == [[5000, 0], [5000, 10_000], [0, 0]]
    assert found.medians.tolist() == [5000, 8750, 1]  # of no cell: nothing to divide by


def test_a_part_that_lacks_types_names_those_it_has(atlas):
    """Held-out donors need not have every type; the positions are those of the whole list."""
    types = atlas.obs["cell_type"].astype(str)
    found = part(atlas[types.isin(["T cell", "tumour"])], np.arange(40), tiny.TYPES, atlas)
    assert found.reference.kinds.tolist() == [1, 4] and found.cells.types == 2
    whole = as_reference(atlas, np.arange(40), tiny.TYPES)
    torch.testing.assert_close(found.reference.signature, whole.signature[:, [1, 4]])
    rows = atlas[types == "tumour"][:, :40].X.toarray()
    assert torch.equal(found.cells.counts[found.cells.codes == 1], torch.tensor(rows))
