"""Intervals hold what they promise, on sections that did not set them; and the test sees when they do not."""

import pytest
import torch

from models.sparank import tiny
from tissuemake.contracts import REFERENCE, read_anndata
from tissuemake.models.sparank.atlas import part
from tissuemake.models.sparank.deconvolve import open_model
from tissuemake.models.sparank.intervals import (
    COVERAGE,
    EDGES,
    SECTION_EDGES,
    SMALLEST_SD,
    calibrated_sd,
    coverage,
    fit_intervals,
)
from tissuemake.models.sparank.model import Composition
from tissuemake.models.sparank.train import exam


@pytest.fixture(scope="module")
def taught(tiny_model):
    return open_model(tiny_model).network


@pytest.fixture(scope="module")
def lessons(prepared):
    """Of one kind, for fitting (24 sections) and for scoring (40 others)."""
    atlas = read_anndata(prepared[0], REFERENCE)
    shown = part(atlas, torch.arange(atlas.n_vars).numpy(), tiny.TYPES, atlas)
    return [exam(shown.cells, shown.reference, 48, seed, number) for seed, number in ((1, 24), (2, 40))]


@pytest.fixture(scope="module")
def factors(taught, lessons):
    return fit_intervals(taught, lessons[0])


@pytest.fixture(scope="module")
def fresh(taught, lessons):
    return answers(taught, lessons[1])


@torch.no_grad()
def answers(network, lessons):
    said = [network(each.section.counts, each.section.measured, each.reference) for each in lessons]
    return said, [each.target for each in lessons]


def covered(said, targets, factors):
    """Coverage overall, and of the shares said to be above 0.1."""
    sds = [calibrated_sd(each, factors) for each in said]
    mean, sd, truth = (
        torch.cat([x.flatten() for x in part]) for part in ([s.mean for s in said], sds, targets)
    )
    present = mean > 0.1
    return coverage(mean, sd, truth), coverage(mean[present], sd[present], truth[present])


def test_intervals_cover_nine_in_ten_on_fresh_sections(factors, fresh):
    assert torch.tensor(factors).shape == (len(EDGES) + 1, len(SECTION_EDGES) + 1)
    assert torch.tensor(factors).min() > 0
    everywhere, present = covered(*fresh, factors)
    assert abs(everywhere - COVERAGE) < 0.04 and abs(present - COVERAGE) < 0.05


def test_a_shrunken_sd_does_not_cover(factors, fresh):
    everywhere, present = covered(*fresh, [[0.5 * factor for factor in row] for row in factors])
    assert everywhere < COVERAGE - 0.04 and present < COVERAGE - 0.1


def test_one_factor_for_all_would_be_too_narrow_for_the_present_types(taught, lessons, fresh):
    """What the bins are for."""
    said, targets = answers(taught, lessons[0])
    ratio = torch.cat([((t - s.mean).abs() / s.sd).flatten() for s, t in zip(said, targets, strict=True)])
    single = float(ratio.quantile(0.9)) / 1.645
    _, present = covered(*fresh, [[single] * 4] * 7)
    assert present < COVERAGE - 0.03


def test_the_factor_is_the_ninetieth_percentile_of_its_bin():
    """A network that says 0.5 and 0.05; its errors are 1 to 100 thousandths."""
    errors = torch.arange(1, 101) / 1000
    lesson = Says.lesson(torch.stack([0.5 + errors, 0.05 + 2 * errors], dim=1))
    factors = fit_intervals(Says(), [lesson])
    sd = Says()(None, None, None).sd
    # The section's means are the shares: the last bin for 0.5, the one before it for 0.05.
    assert factors[5][3] == pytest.approx(0.091 / (1.645 * float(sd[0, 0])), rel=0.02)
    assert factors[2][2] == pytest.approx(0.182 / (1.645 * float(sd[0, 1])), rel=0.02)


def test_a_bin_that_is_hardly_seen_takes_the_factor_of_its_row_or_of_all():
    errors = torch.arange(1, 101) / 1000
    factors = fit_intervals(Says(), [Says.lesson(torch.stack([0.5 + errors, 0.05 + 2 * errors], dim=1))])
    assert len({*factors[2]}) == len({*factors[5]}) == 1  # never seen elsewhere in the row
    assert factors[0] == factors[3] == factors[6] and min(factors[2][0], factors[5][0]) < factors[0][0]
    assert factors[0][0] <= max(factors[2][0], factors[5][0])


def test_a_type_that_is_rare_in_a_section_has_a_factor_of_its_own():
    """Two sections with the same small shares; where the type is rare they are right, elsewhere wrong by 0.01."""
    mean = torch.full((200, 2), 0.005)
    common = mean.clone()
    common[100:, 1] = 0.4
    sections = [Composition(each, torch.full((200,), 9.0)) for each in (mean, common)]
    error = torch.zeros(200, 2)
    error[:100, 1] = 0.01 * torch.arange(1, 101) / 100
    lessons = [Says.lesson(mean), Says.lesson(common + error)]
    said = iter(sections)
    factors = fit_intervals(lambda *given: next(said), lessons)
    assert factors[0][0] == 0 and factors[0][3] > 0
    sd = calibrated_sd(sections[1], factors)
    assert (sd[:100, 1] > 0).all() and not sd[:100, 0].any()


class Says:
    """A stand-in for a network."""

    def __call__(self, counts, measured, reference):
        return Composition(torch.tensor([[0.5, 0.05]]).expand(100, 2), torch.full((100,), 9.0))

    @staticmethod
    def lesson(target):
        class Any:
            counts = measured = None

        made = Any()
        made.section, made.reference, made.target = Any(), None, target
        return made


def test_each_share_is_scaled_by_the_factor_of_its_bin():
    mean = torch.tensor([[0.01, 0.05, 0.2, 0.5, 0.24], [0.0, 0.0, 0.0, 0.0, 1.0]])
    said = Composition(mean, torch.tensor([3.0, 3.0]))
    factors = [[row + 0.1 * column for column in range(4)] for row in range(1, 8)]
    sd = calibrated_sd(said, factors)
    # Means over the section: 0.005, 0.025, 0.1, 0.25, 0.62.
    torch.testing.assert_close(sd[0], said.sd[0] * torch.tensor([2.0, 3.1, 5.2, 6.3, 5.3]))
    # A share of which the network is certain still has an interval.
    assert sd[1].tolist() == pytest.approx([SMALLEST_SD * f for f in (1.0, 1.1, 1.2, 1.3, 7.3)])


def test_coverage_counts_what_lies_inside():
    truth = torch.tensor([[0.5, 0.5, 0.5, 0.5]])
    mean, sd = torch.tensor([[0.5, 0.6, 0.3, 0.9]]), torch.tensor([[0.01, 0.1, 0.1, 0.1]])
    assert coverage(mean, sd, truth) == 0.5
