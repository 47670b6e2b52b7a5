"""Which genes vary: alike for sparse and dense values, in double precision."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.utils.sparsefuncs import mean_variance_axis

from tissuemake import expression
from tissuemake.expression import column_variance, most_variable


def test_variance_is_that_of_the_dense_matrix_even_far_from_zero():
    values = np.random.default_rng(0).normal(300, 0.1, (50_000, 2)).astype(np.float32)
    expected = values.astype(float).var(axis=0)
    for given in (values, sp.csr_matrix(values), sp.csc_matrix(values)):
        assert column_variance(given) == pytest.approx(expected, rel=1e-3)


def test_sparse_variance_is_that_of_scikit_learn_also_block_by_block(monkeypatch):
    values = sp.random(400, 30, 0.2, "csr", np.float32, np.random.default_rng(1))
    expected = mean_variance_axis(values, axis=0)[1]
    for block in (expression.BLOCK, 100):
        monkeypatch.setattr(expression, "BLOCK", block)
        assert column_variance(values) == pytest.approx(expected, rel=1e-5)


def test_most_variable_drops_constant_genes_and_keeps_their_order():
    values = sp.csr_matrix(np.array([[0, 5.0, 1, 0], [0, 0, 1, 2.0]]))
    assert most_variable(values, 3).tolist() == [1, 3]
    assert most_variable(values, 1).tolist() == [1]
