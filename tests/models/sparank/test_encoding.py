"""Places of genes in their spot: by value alone, never by the order in which genes happen to stand."""

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import Generator

from tissuemake.models.sparank.encoding import log_values, rank_fractions, top_tokens


def spots(rows=40, genes=60, seed=0):
    """Values with many ties and many zeros, as counts have."""
    generator = Generator().manual_seed(seed)
    return torch.poisson(3 * torch.rand(rows, genes, generator=generator) ** 2, generator=generator)


def slow_places(row: np.ndarray) -> np.ndarray:
    places = np.zeros(len(row))
    expressed = row > 0
    if expressed.any():
        places[expressed] = rankdata(row[expressed]) / expressed.sum()
    return places


def test_the_highest_gene_has_place_one_and_the_lowest_one_in_n():
    places = rank_fractions(torch.tensor([[0.0, 5.0, 0.5, 2.0, 0.0, 90.0]]))
    assert places.tolist() == [[0, 0.75, 0.25, 0.5, 0, 1]]


def test_places_are_those_of_scipy():
    values = spots() / torch.linspace(0.5, 2, 60).round(decimals=1)
    values[3] = 0
    expected = np.array([slow_places(row) for row in values.numpy()])
    np.testing.assert_allclose(rank_fractions(values).numpy(), expected, atol=1e-6)


def test_a_spot_without_counts_has_no_places():
    assert not rank_fractions(torch.zeros(3, 9)).any()
    assert not rank_fractions(torch.zeros(3, 9), Generator()).any()


def test_tied_genes_share_a_place_whatever_their_order():
    values, order = spots(), torch.randperm(60, generator=Generator().manual_seed(1))
    assert torch.equal(rank_fractions(values[:, order]), rank_fractions(values)[:, order])
    tied = rank_fractions(torch.tensor([[4.0, 4.0, 4.0, 4.0]]))
    assert tied.unique().tolist() == [0.625]


def test_jitter_breaks_ties_at_random_and_moves_nothing_else():
    values = torch.full((2000, 4), 7.0)
    values[:, 3] = 7.0001  # so near that only the ties themselves may be broken
    places = rank_fractions(values, Generator().manual_seed(0))
    assert (places[:, 3] == 1).all()
    assert torch.equal(places[:, :3].sort(dim=1).values, torch.tensor([0.25, 0.5, 0.75]).expand(2000, 3))
    # Each of three tied genes is the lowest as often as the others.
    assert ((places[:, :3] == 0.25).float().mean(0) - 1 / 3).abs().max() < 0.04


def test_jitter_is_that_of_its_generator():
    values = spots()
    first, again, other = (rank_fractions(values, Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("level", [1e-4, 1.0, 3e4])
def test_jitter_leaves_no_tie_to_the_order_of_genes(level):
    """Among very many tied genes: noise that is rounded away would leave the first ones lowest."""
    places = rank_fractions(torch.full((3, 4000), level), Generator().manual_seed(4))
    assert all(len(row.unique()) > 3950 for row in places)  # those still tied share their mean place
    position = torch.linspace(-1, 1, 4000)
    assert all(abs(float(torch.corrcoef(torch.stack([row, position]))[0, 1])) < 0.08 for row in places)


def test_log_values_do_not_depend_on_depth():
    values = spots() + 1
    torch.testing.assert_close(log_values(values), log_values(values * 7))
    assert log_values(values).max() < 2 and not log_values(torch.zeros(1, 5)).any()


def test_tokens_are_the_genes_with_the_highest_values():
    values = torch.tensor([[0.0, 3.0, 1.0, 2.0], [0.0, 0.0, 0.0, 5.0]])
    genes, real = top_tokens(rank_fractions(values), 2)
    assert genes[0].tolist() == [1, 3] and genes[1, 0] == 3
    assert real.tolist() == [[True, True], [True, False]]
    genes, real = top_tokens(rank_fractions(values), 99)
    assert genes[0].tolist() == [1, 3, 2, 0] and real.sum(1).tolist() == [3, 1]


def test_genes_that_tie_for_the_last_tokens_stay_or_go_together():
    """Whichever came first in the table would stay otherwise."""
    values = torch.tensor([[7.0, 2.0, 2.0, 2.0, 9.0]])
    for kept, tokens in ((2, 2), (2, 3), (2, 4), (5, 5)):
        genes, real = top_tokens(rank_fractions(values), tokens)
        assert int(real.sum()) == kept and {0, 4} <= set(genes[real].tolist())


def test_in_training_tied_genes_are_tokens_by_chance():
    ranks = rank_fractions(torch.ones(400, 8), Generator().manual_seed(0))
    genes, real = top_tokens(ranks, 2)
    assert real.all()
    assert torch.bincount(genes.flatten(), minlength=8).float().sub(100).abs().max() < 40
