"""Least squares for a section: right shares, the platform read off the section, blind to what is not measured."""

import numpy as np
import pytest
import torch
from torch import Generator

from tissuemake.least_squares import solve_nnls
from tissuemake.models.sparank import section

GENES, TYPES = 200, 5


def signature(seed=0):
    profiles = torch.rand(GENES, TYPES, generator=Generator().manual_seed(seed)) ** 4 + 1e-3
    return profiles / profiles.sum(0) * 1e4


def mixtures(spots=150, depth=2000.0, factors=None, seed=1):
    """Expected counts and shares; `factors` of a platform."""
    generator = Generator().manual_seed(seed)
    shares = torch.softmax(2 * torch.randn(spots, TYPES, generator=generator), dim=1)
    profile = signature() if factors is None else signature() * factors[:, None]
    expected = shares @ profile.T
    return expected / expected.sum(1, keepdim=True) * depth, shares


ALL = torch.ones(GENES, dtype=torch.bool)


def test_fit_agrees_with_the_exact_solver():
    counts, _ = mixtures()
    counts = torch.poisson(counts, generator=Generator().manual_seed(2))
    weighted = signature() / (signature().mean(1, keepdim=True) + section.FLOOR)
    exact = solve_nnls((weighted.T @ signature()).numpy(), (counts @ weighted).numpy())
    exact /= exact.sum(1, keepdims=True)
    found = section.fit(counts, signature()).numpy()
    assert np.abs(found - exact).mean() < 0.005 and np.abs(found - exact).max() < 0.04


def test_shares_of_exact_mixtures_are_found():
    counts, shares = mixtures()
    found = section.fit(counts, signature())
    assert (found - shares).abs().max() < 0.04
    refitted = section.refit(counts, signature(), found)
    assert (refitted - shares).abs().mean() < (found - shares).abs().mean()
    torch.testing.assert_close(refitted.sum(1), torch.ones(len(counts)))


def test_depth_does_not_change_shares():
    counts, _ = mixtures()
    torch.testing.assert_close(section.fit(counts, signature()), section.fit(counts * 30, signature()))


def test_a_spot_without_counts_has_equal_shares():
    assert torch.allclose(section.fit(torch.zeros(2, GENES), signature()), torch.tensor(1 / TYPES))


@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_survey_recovers_the_platform_and_the_mean_composition(scale):
    """Up to one factor on all genes, which no section can tell from its depth."""
    planted = torch.exp(0.8 * torch.randn(GENES, generator=Generator().manual_seed(3)))
    counts, shares = mixtures(400, 5000.0, planted * scale)
    counts = torch.poisson(counts, generator=Generator().manual_seed(4))
    found = section.survey(counts, ALL, signature())
    error = torch.log(found.factors) - torch.log(planted)
    error = error - error.median()
    plain = section.fit(counts, signature()).mean(0)
    assert error.abs().median() < 0.1 and error.abs().quantile(0.95) < 0.4
    assert (found.shares - shares.mean(0)).abs().max() < 0.05
    assert (found.shares - shares.mean(0)).abs().sum() < (plain - shares.mean(0)).abs().sum()


def test_most_genes_keep_their_level_when_a_few_soak_up_the_counts():
    """Shares of counts fall for all genes when some rise; the factor of an ordinary gene is 1 all the same."""
    planted = torch.ones(GENES)
    planted[::10] = 20.0
    found = section.survey(mixtures(200, 20_000.0, planted)[0], ALL, signature())
    assert abs(float(torch.log(found.factors[planted == 1]).median())) < 0.1
    assert torch.log(found.factors[planted > 1] / 20).abs().median() < 0.3


def test_refit_weighs_genes_by_the_noise_of_the_spot_itself():
    """Against the exact solution of the same weighted problem; equal weights give another."""
    counts, shares = mixtures(60, 300.0)
    counts = torch.poisson(counts, generator=Generator().manual_seed(6))
    predicted = shares @ signature().T
    weight = 1 / (predicted + 0.1 * predicted.mean(1, keepdim=True))
    exact, equal = (
        solve_nnls(
            torch.einsum("sg,gi,gj->sij", each, signature(), signature()).numpy(),
            ((each * counts) @ signature()).numpy(),
        )
        for each in (weight, torch.ones_like(weight))
    )
    found = section.refit(counts, signature(), shares).numpy()
    error = np.abs(found - exact / exact.sum(1, keepdims=True)).mean()
    assert error < 0.01 and error < 0.3 * np.abs(found - equal / equal.sum(1, keepdims=True)).mean()


def test_without_a_platform_factors_are_one():
    counts, _ = mixtures(400, 20000.0)
    found = section.survey(counts, ALL, signature())
    assert torch.log(found.factors).abs().quantile(0.95) < 0.15


def test_a_gene_hardly_counted_keeps_the_level_of_the_atlas():
    """Planted a hundredfold too low: with three counts in the section that is not yet to be believed."""
    planted = torch.ones(GENES)
    planted[:20] = 0.01
    expected, _ = mixtures(20, 100.0, planted)
    few = section.survey(expected, ALL, signature()).factors[:20]
    many = section.survey(expected * 1e5, ALL, signature()).factors[:20]
    assert (many < 0.05).all() and few.median() > 0.3


def test_unmeasured_genes_have_factor_one_and_no_influence():
    generator = Generator().manual_seed(5)
    measured = torch.rand(GENES, generator=generator) < 0.6
    planted = torch.exp(torch.randn(GENES, generator=generator))
    counts = mixtures(300, 5000.0, planted)[0] * measured
    known = section.survey(counts, measured, signature())
    assert (known.factors[~measured] == 1).all() and (known.factors[measured] != 1).any()
    junk = torch.where(measured[:, None], signature(), 777 * torch.rand(GENES, TYPES, generator=generator))
    other = section.survey(counts, measured, junk)
    torch.testing.assert_close(other.factors, known.factors)
    torch.testing.assert_close(other.shares, known.shares)
    short = section.survey(counts[:, measured], ALL[measured], signature()[measured])
    torch.testing.assert_close(short.factors, known.factors[measured], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(short.shares, known.shares, rtol=1e-3, atol=1e-4)


def test_factors_are_bounded():
    counts, _ = mixtures()
    counts[:, 0] *= 1e9
    found = section.survey(counts, ALL, signature()).factors
    assert found.max() <= np.exp(section.LARGEST_LOG_FACTOR) * 1.001 and found.isfinite().all()
