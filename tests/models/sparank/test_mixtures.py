"""Simulated sections: whole counts of known composition, from the given cells only, as varied as tissue is."""

from dataclasses import replace

import pytest
import torch
from torch import Generator

from tissuemake.reference.mixtures import Cells, Mixtures, Regimes, _Draw

TYPES, GENES = 5, 150
PLAIN = Regimes(
    depths=(3000.0, 3000.0), platform=0.0, state=0.0, content=0.0, ambient=0.0, blur=0.0, panels=0.0
)


def cells(each=(30, 20, 10, 5, 1)):
    """Cells of five types; gene k is expressed in type k alone."""
    generator = Generator().manual_seed(0)
    codes = torch.repeat_interleave(torch.arange(TYPES), torch.tensor(each))
    codes = codes[torch.randperm(len(codes), generator=generator)]
    level = 3 * torch.rand(TYPES, GENES, generator=generator) ** 3
    level[:, :TYPES] = 40 * torch.eye(TYPES)
    return Cells(torch.poisson(level[codes], generator=generator), codes, TYPES)


def sections(number, spots=60, regimes=None, given=None, **options):
    mixtures = Mixtures(given or cells(), regimes)
    return [mixtures.section(spots, Generator().manual_seed(seed), **options) for seed in range(number)]


def test_sections_are_whole_counts_with_shares_that_sum_to_one():
    for made in sections(12):
        assert made.counts.shape == (60, GENES) and made.shares.shape == (60, TYPES)
        assert torch.equal(made.counts, made.counts.round()) and made.counts.min() >= 0
        torch.testing.assert_close(made.shares.sum(1), torch.ones(60))
        assert made.shares.min() >= 0 and made.counts.isfinite().all()


def test_panels_measure_some_genes_and_the_others_are_zero():
    made = sections(60, spots=20, regimes=replace(PLAIN, panels=0.5, least_panel=30))
    panels = [each for each in made if not each.measured.all()]
    assert 15 < len(panels) < 45
    assert all(not each.counts[:, ~each.measured].any() for each in made)
    sizes = [int(each.measured.sum()) for each in panels]
    assert 30 <= min(sizes) < 60 and 100 < max(sizes) < GENES
    assert all(each.measured.all() for each in sections(20, spots=5, regimes=PLAIN))
    assert len({tuple(each.measured.tolist()) for each in panels}) == len(panels)


def test_depth_is_drawn_between_the_bounds():
    wide = replace(PLAIN, depths=(100.0, 20_000.0))
    depths = torch.stack([each.counts.sum(1).median() for each in sections(80, spots=40, regimes=wide)])
    assert 70 < depths.min() < 400 and 6000 < depths.max() < 28_000
    assert 600 < depths.median() < 3200  # log-uniform: 1,400
    fixed = torch.stack([each.counts.sum(1).median() for each in sections(10, spots=200, regimes=PLAIN)])
    assert (torch.log(fixed / 3000).abs() < 0.25).all()


def test_spots_are_dominated_and_even_and_hold_few_and_many_types():
    shares = torch.cat([each.shares for each in sections(40, regimes=PLAIN)])
    largest, present = shares.amax(1), (shares > 0).sum(1)
    assert (largest > 0.9).float().mean() > 0.1 and (largest < 0.45).float().mean() > 0.02
    assert [(present == n).float().mean() > 0.02 for n in range(1, TYPES + 1)] == [True] * TYPES
    # Every type, the rare one as well, is somewhere the main one.
    assert set(shares.argmax(1).tolist()) == set(range(TYPES))
    by_section = torch.stack([each.shares.mean(0) for each in sections(40, regimes=PLAIN)])
    assert by_section.std(0).min() > 0.08  # tissues differ


def test_spots_outside_niches_are_of_one_type_or_of_all():
    """With one niche its spots are all alike, which tells the loose ones."""
    mixtures = Mixtures(cells(), replace(PLAIN, niches=1))
    chances = mixtures.compositions(2000, _Draw(Generator().manual_seed(0), torch.device("cpu")))
    loose = chances[(chances - chances.median(0).values).abs().sum(1) > 1e-3].amax(1)
    assert 450 < len(loose) < 750
    assert (loose > 0.95).float().mean() > 0.08 and (loose < 0.5).float().mean() > 0.1


def test_spots_hold_few_and_many_cells():
    shares = torch.cat([each.shares for each in sections(60, spots=30, regimes=PLAIN)])
    of_cells = {n: ((shares * n - (shares * n).round()).abs() < 1e-4).all(1) for n in (1, 2, 3, 30)}
    mixed = ~of_cells[1]
    assert (mixed & of_cells[2]).float().mean() > 0.02 and (mixed & of_cells[3]).float().mean() > 0.02
    assert (~of_cells[30]).float().mean() > 0.2  # not always the most
    fewest = torch.where(shares > 0, shares, 1.0).amin(1)
    assert fewest.min() < 0.05


def test_sections_of_a_tissue_have_niches():
    """Spots of one section are more alike than spots of another."""
    made = sections(20, spots=40, regimes=PLAIN)
    within = torch.stack([each.shares.var(0).sum() for each in made]).mean()
    among = torch.cat([each.shares for each in made]).var(0).sum()
    assert within < 0.85 * among


def test_a_seed_is_a_section():
    mixtures = Mixtures(cells())
    first, again, other = (mixtures.section(30, Generator().manual_seed(seed)) for seed in (4, 4, 5))
    for field in ("counts", "measured", "shares"):
        assert torch.equal(getattr(first, field), getattr(again, field))
    assert not torch.equal(first.counts, other.counts) and not torch.equal(first.shares, other.shares)


def test_the_global_generator_plays_no_part():
    mixtures, before = Mixtures(cells()), torch.get_rng_state()
    torch.manual_seed(1)
    first = mixtures.section(30, Generator().manual_seed(4))
    torch.manual_seed(2)
    assert torch.equal(mixtures.section(30, Generator().manual_seed(4)).counts, first.counts)
    torch.set_rng_state(before)


def test_counts_follow_the_shares():
    """Gene k tells type k; without noise on the way its counts are the type's share of the RNA."""
    made = sections(1, spots=400, regimes=PLAIN)[0]
    marked = made.counts[:, :TYPES] / made.counts.sum(1, keepdim=True)
    for kind in range(TYPES):
        assert float(torch.corrcoef(torch.stack([marked[:, kind], made.shares[:, kind]]))[0, 1]) > 0.9
        assert not marked[made.shares[:, kind] == 0, kind].any()


def test_what_no_given_cell_expresses_is_never_counted():
    given = cells()
    silent = given.counts.clone()
    silent[:, 99] = 0
    made = sections(30, given=Cells(silent, given.codes, TYPES))
    assert not torch.cat([each.counts[:, 99] for each in made]).any()
    assert torch.cat([each.counts[:, 99] for each in sections(30)]).any()


@pytest.mark.parametrize("regime", ["platform", "state", "content"])
def test_every_regime_moves_sections(regime):
    """Each alone, at its default, away from the plain mixture."""
    moved = replace(PLAIN, **{regime: getattr(Regimes(), regime)})
    assert any(
        (a.counts.mean(0) - b.counts.mean(0)).abs().sum() > 0.03 * a.counts.mean(0).sum()
        for a, b in zip(sections(5, regimes=PLAIN), sections(5, regimes=moved), strict=True)
    )


def test_ambient_puts_markers_where_their_type_is_not():
    leaking = sections(5, regimes=replace(PLAIN, ambient=0.5))
    assert any(
        each.counts[each.shares[:, kind] == 0, kind].any() for each in leaking for kind in range(TYPES)
    )


def test_levels_move_the_expression_of_a_type():
    levels = torch.ones(TYPES, GENES)
    same, plain = sections(1, regimes=PLAIN, levels=levels)[0], sections(1, regimes=PLAIN)[0]
    assert torch.equal(same.counts, plain.counts)
    levels[2, 2], levels[3, 3] = 5.0, 0.0
    moved = sections(1, spots=200, regimes=PLAIN, levels=levels)[0]
    plain = sections(1, spots=200, regimes=PLAIN)[0]
    assert torch.equal(moved.shares, plain.shares)
    has, ratio = plain.shares[:, 2] > 0.5, moved.counts / moved.counts.sum(1, keepdim=True)
    before = plain.counts / plain.counts.sum(1, keepdim=True)
    assert ratio[has, 2].mean() > 1.5 * before[has, 2].mean()
    assert before[:, 3].sum() > 0 and not ratio[:, 3].any()


def test_blur_draws_cells_to_their_type_but_keeps_the_types():
    made = sections(1, spots=200, regimes=replace(PLAIN, blur=1.0))[0]
    for kind in range(TYPES):
        assert not made.counts[made.shares[:, kind] == 0, kind].any()


def test_a_type_without_a_cell_is_refused():
    given = cells()
    with pytest.raises(ValueError, match=r"without a cell: \[5\]"):
        Mixtures(Cells(given.counts, given.codes, TYPES + 1))


def test_cells_are_drawn_from_their_own_type():
    rows, sizes = cells().of_types()
    assert sizes.tolist() == [30, 20, 10, 5, 1] and rows.shape == (TYPES, 30)
    assert (cells().codes[rows] == torch.arange(TYPES)[:, None]).all()
    assert all(set(rows[k].tolist()) == set((cells().codes == k).nonzero()[:, 0].tolist()) for k in range(5))
