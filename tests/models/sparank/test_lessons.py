"""Lessons: types hidden from the reference become the unknown, and another atlas moves cells and profiles alike."""

from dataclasses import replace

import torch
from torch import Generator

from tissuemake.least_squares import solve_nnls
from tissuemake.models.sparank.lessons import Lessons
from tissuemake.models.sparank.model import Reference
from tissuemake.reference.mixtures import Cells, Mixtures, Regimes

TYPES, GENES, SPOTS = 7, 90, 80
PLAIN = Regimes(
    depths=(20_000.0, 20_000.0), platform=0.0, state=0.0, content=0.0, ambient=0.0, blur=1.0, panels=0.0
)


def atlas(types=TYPES):
    """Cells that are all alike within their type, of one depth: their profile is the signature."""
    level = (20 * torch.rand(types, GENES, generator=Generator().manual_seed(0)) ** 4).ceil()
    signature = (level / level.sum(1, keepdim=True) * 1e4).T
    cells = Cells(level.repeat_interleave(3, 0), torch.arange(types).repeat_interleave(3), types)
    return cells, Reference(signature, signature.median(dim=1).values, torch.arange(types))


def lessons(types=TYPES, **settings):
    cells, reference = atlas(types)
    return Lessons(Mixtures(cells, PLAIN), reference, SPOTS, **settings)


def draw(made, number=30):
    return [made(step, Generator().manual_seed(step)) for step in range(number)]


def test_a_lesson_is_a_function_of_its_generator():
    made = lessons()
    one, again, other = (made(0, Generator().manual_seed(seed)) for seed in (1, 1, 2))
    for part in (lambda x: x.section.counts, lambda x: x.reference.signature, lambda x: x.target):
        assert torch.equal(part(one), part(again))
    assert one.ties == again.ties != other.ties
    assert not torch.equal(one.section.counts, other.section.counts)
    assert torch.equal(made(99, Generator().manual_seed(1)).target, one.target)  # not of the step


def test_hidden_types_become_the_unknown_and_the_others_keep_their_columns():
    hiding = draw(lessons(hidden=1.0, virtual=0.0))
    for each in hiding:
        kept = each.reference.kinds
        assert TYPES - max(2, TYPES // 3) <= len(kept) < TYPES and kept.unique().tolist() == kept.tolist()
        assert each.target.shape == (SPOTS, len(kept) + 1)
        assert torch.equal(each.target[:, :-1], each.section.shares[:, kept])
        gone = [kind for kind in range(TYPES) if kind not in kept.tolist()]
        torch.testing.assert_close(each.target[:, -1], each.section.shares[:, gone].sum(1))
        torch.testing.assert_close(each.target.sum(1), torch.ones(SPOTS))
        assert torch.equal(each.reference.signature, atlas()[1].signature[:, kept])
    assert {kind for each in hiding for kind in each.reference.kinds.tolist()} == set(range(TYPES))
    assert sum(float(each.target[:, -1].mean()) > 0.05 for each in hiding) > 10


def test_cells_of_hidden_types_are_in_the_section():
    """Fitted with all signatures, the section's counts give back the shares of hidden types too."""
    for each in draw(lessons(hidden=1.0, virtual=0.0), 6):
        found = fitted(each.section.counts, atlas()[1].signature)
        assert (found - each.section.shares).abs().mean() < 0.06
        assert torch.corrcoef(torch.stack([unknown(each, found), each.target[:, -1]]))[0, 1] > 0.9


def unknown(lesson, shares):
    gone = [kind for kind in range(TYPES) if kind not in lesson.reference.kinds.tolist()]
    return shares[:, gone].sum(1)


def fitted(counts, signature):
    counts, signature = counts.double().numpy(), signature.double().numpy()
    shares = torch.tensor(solve_nnls(signature.T @ signature, counts @ signature)).float()
    return shares / shares.sum(1, keepdim=True)


def test_half_the_lessons_hide_by_default_and_none_when_told():
    default = sum(len(each.reference.kinds) < TYPES for each in draw(lessons(), 80))
    assert 25 <= default <= 55
    for each in draw(lessons(hidden=0.0), 20):
        assert each.reference.kinds.tolist() == list(range(TYPES)) and not each.target[:, -1].gt(1e-6).any()


def test_of_two_types_none_is_hidden():
    assert all(len(each.reference.kinds) == 2 for each in draw(lessons(types=2, hidden=1.0), 10))
    assert all(len(each.reference.kinds) == 2 for each in draw(lessons(types=3, hidden=1.0), 10))


def test_another_atlas_moves_cells_and_signatures_alike():
    """The section is fitted by the moved signature, and no longer by that of the atlas."""
    moved = draw(lessons(hidden=0.0, virtual=1.0, spread=2.0), 12)
    shares = [each.section.shares for each in moved]
    own, old = (
        torch.stack(
            [
                (fitted(m.section.counts, shown(m)) - s).abs().mean()
                for m, s in zip(moved, shares, strict=True)
            ]
        )
        for shown in (lambda lesson: lesson.reference.signature, lambda lesson: atlas()[1].signature)
    )
    assert own.max() < 0.06 < old.max() and own.mean() < 0.5 * old.mean()


def test_medians_move_with_the_common_level_of_a_gene():
    known = atlas()[1]
    for each in draw(lessons(hidden=0.0, virtual=1.0), 5):
        common = each.reference.signature.mean(1) / known.signature.mean(1)
        torch.testing.assert_close(each.reference.medians, known.medians * common)
        assert (each.reference.medians > 0).all()


def test_virtual_atlases_are_drawn_as_often_as_told_and_are_all_different():
    known = atlas()[1].signature
    moved = draw(lessons(hidden=0.0, virtual=0.5), 60)
    other = [each.reference.signature for each in moved if not torch.equal(each.reference.signature, known)]
    assert 18 <= len(other) <= 42
    assert not torch.equal(other[0], other[1])
    assert all(
        torch.equal(each.reference.signature, known) for each in draw(lessons(hidden=0.0, virtual=0.0), 9)
    )


def test_hiding_does_not_touch_the_atlas():
    made = lessons(hidden=1.0, virtual=1.0)
    before = replace(made.reference, signature=made.reference.signature.clone())
    draw(made, 5)
    assert torch.equal(made.reference.signature, before.signature)
