"""Correlations per gene, with and without depth, and the ceiling, on expression whose answer is known."""

import numpy as np
import pytest
import scipy.sparse as sp

from tissuemake.evaluation.expression_metrics import (
    depth_adjusted_correlations,
    gene_correlations,
    log_cp10k,
    noise_ceiling,
    without_depth,
)

SPOTS, GENES = 1000, 40


@pytest.fixture(scope="module")
def section():
    """Rates (spots, genes) that vary, depth that varies too, and counts drawn from them."""
    rng = np.random.default_rng(0)
    depth = np.exp(rng.normal(7, 0.15, SPOTS))
    rate = np.exp(rng.normal(0, 0.6, (SPOTS, GENES)) + rng.normal(0, 1.5, GENES))
    share = rate / rate.sum(axis=1, keepdims=True)
    counts = rng.poisson(share * depth[:, None])
    return share, counts


def test_library_size_is_over_all_genes_and_not_over_the_chosen_ones(section):
    counts = section[1]
    expected = np.log1p(counts[:, [3, 5]] / counts.sum(axis=1, keepdims=True) * 1e4)
    np.testing.assert_allclose(log_cp10k(sp.csr_matrix(counts), np.array([3, 5])), expected)


def test_a_gene_is_correlated_across_spots_and_a_constant_prediction_is_worth_nothing():
    truth = np.array([[0.0, 0, 5], [1, 2, 5], [2, 1, 5], [3, 3, 5]])
    predicted = np.array([[1.0, 7, 1], [3, 7, 2], [5, 7, 3], [7, 7, 4]])
    found = gene_correlations(predicted, truth)
    assert found[0] == pytest.approx(1) and found[1] == 0 and np.isnan(found[2])


def test_what_follows_depth_in_line_and_square_is_gone_and_the_rest_stays():
    rng = np.random.default_rng(1)
    total = np.exp(rng.normal(8, 0.5, SPOTS))
    log_depth = np.log(total)
    own = rng.normal(size=SPOTS)
    truth = np.column_stack([3 * log_depth - 0.2 * log_depth**2, own + 5 * log_depth, log_depth**2 + 4 * own])
    rest = without_depth(truth, total)
    assert (rest[:, 0] == 0).all()
    assert np.corrcoef(rest[:, 1], own)[0, 1] > 0.99 and np.corrcoef(rest[:, 2], own)[0, 1] > 0.99
    assert gene_correlations(np.tile(log_depth[:, None], 3), truth)[1] > 0.9
    assert (
        np.abs(np.nan_to_num(depth_adjusted_correlations(np.tile(log_depth[:, None], 3), truth, total))).max()
        < 0.01
    )


def test_depth_in_the_prediction_costs_unless_it_is_taken_out_of_both_sides():
    rng = np.random.default_rng(2)
    total = np.exp(rng.normal(8, 0.5, SPOTS))
    own = rng.normal(size=(SPOTS, 1))
    depth = (np.log(total) - np.log(total).mean())[:, None] / 0.5
    truth, predicted = own + depth, own + depth
    assert depth_adjusted_correlations(predicted, truth, total)[0] == pytest.approx(np.sqrt(0.5), abs=0.05)
    assert depth_adjusted_correlations(predicted, truth, total, both=True)[0] == pytest.approx(1)


def test_the_ceiling_is_what_the_expression_behind_the_counts_reaches(section):
    share, counts = section
    genes = np.arange(0, GENES, 2)
    ceiling = noise_ceiling(sp.csr_matrix(counts), genes)
    reached = gene_correlations(np.log1p(share[:, genes] * 1e4), log_cp10k(counts, genes))
    assert np.abs(ceiling.mean() - reached.mean()) < 0.03
    assert np.corrcoef(ceiling, reached)[0, 1] > 0.9
    assert reached.min() < 0.6 and reached.max() > 0.85, "genes of every kind are among them"


def test_noise_alone_has_no_ceiling_and_an_absent_gene_has_none_either():
    rng = np.random.default_rng(3)
    counts = rng.poisson(np.tile([0.0, 1000.0] + [2.0] * 40, (SPOTS, 1)))
    ceiling = noise_ceiling(sp.csr_matrix(counts), np.r_[0, 2:42])
    assert np.isnan(ceiling[0]) and ceiling[1:].mean() < 0.2


def test_the_ceiling_without_depth_is_lower_where_depth_moves_the_gene():
    rng = np.random.default_rng(4)
    depth = np.exp(rng.normal(7, 0.6, SPOTS))
    share = 0.001 * depth / depth.mean()
    counts = np.column_stack([rng.poisson(share * depth), rng.poisson((1 - share) * depth)])
    plain, adjusted = (
        noise_ceiling(counts, np.array([0]), splits=8, depth_adjusted=flag)[0] for flag in (False, True)
    )
    assert plain > 0.5 and adjusted < plain - 0.2


def test_more_counts_lift_the_ceiling(section):
    share = section[0]
    rng = np.random.default_rng(5)
    shallow, deep = (
        noise_ceiling(rng.poisson(share * depth), np.arange(GENES)).mean() for depth in (200, 20_000)
    )
    assert deep > 0.95 and shallow < 0.7
