"""The batched solver gives what scipy gives, for one Gram matrix or one per spot."""

import numpy as np
import pytest
from scipy.optimize import nnls

from tissuemake.least_squares import solve_nnls


@pytest.mark.parametrize(("n_genes", "n_types"), [(300, 12), (60, 45), (20, 3)])
def test_agrees_with_scipy(n_genes, n_types):
    rng = np.random.default_rng(n_genes)
    signature = rng.gamma(0.3, 1, (n_genes, n_types))
    counts = rng.poisson(rng.dirichlet(np.full(n_types, 0.2), 200) @ signature.T * 3)
    solved = solve_nnls(signature.T @ signature, counts @ signature)
    expected = np.array([nnls(signature, row)[0] for row in counts])
    np.testing.assert_allclose(solved, expected, atol=1e-7)
    assert (expected == 0).any()  # constraints were active, or this would test plain least squares


def test_one_gram_matrix_per_spot():
    rng = np.random.default_rng(1)
    signatures = rng.gamma(0.3, 1, (50, 40, 6))
    right = rng.normal(1, 2, (50, 40))
    grams = np.einsum("ngk,ngl->nkl", signatures, signatures)
    solved = solve_nnls(grams, np.einsum("ng,ngk->nk", right, signatures))
    expected = np.array([nnls(a, y)[0] for a, y in zip(signatures, right, strict=True)])
    np.testing.assert_allclose(solved, expected, atol=1e-7)


def test_two_equal_types_share_the_weight():
    profile = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 3.0]])
    solved = solve_nnls(profile.T @ profile, np.array([[1.0, 2.0, 3.0]]) @ profile)
    assert np.isfinite(solved).all()
    np.testing.assert_allclose([solved[0, :2].sum(), solved[0, 2]], [1, 1], atol=1e-6)


def test_nothing_measured_gives_zeros():
    signature = np.eye(3)
    assert (solve_nnls(signature, np.zeros((2, 3))) == 0).all()
    assert solve_nnls(signature, np.zeros((0, 3))).shape == (0, 3)
