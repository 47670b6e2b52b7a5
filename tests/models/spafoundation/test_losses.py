"""Losses, masks and measures of collapse against their definitions."""

import math

import pytest
import torch
from torch.nn import functional

from tissuemake.errors import InputError
from tissuemake.models.spafoundation.collapse import WATCHED, refuse_collapse, spread_of_features
from tissuemake.models.spafoundation.losses import (
    centred,
    koleo,
    moved_centre,
    patch_loss,
    pixel_loss,
    sinkhorn,
    tile_loss,
)
from tissuemake.models.spafoundation.masks import block_masks


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_tile_loss_is_the_cross_entropy_of_all_pairs_of_different_views():
    target = torch.rand(2, 5, 7, generator=seeded()).softmax(-1)
    logits = torch.randn(4, 5, 7, generator=seeded(1))
    pairs = [
        functional.cross_entropy(logits[view] / 0.1, target[taught])
        for taught in range(2)
        for view in range(4)
        if view != taught
    ]
    torch.testing.assert_close(tile_loss(target, logits, 0.1), torch.stack(pairs).mean())


def test_sinkhorn_uses_prototypes_equally_and_leaves_out_rows_without_weight():
    logits = torch.randn(64, 8, generator=seeded()) * 0.1 + torch.arange(8) * 0.05
    balanced = sinkhorn(logits, 0.1)
    torch.testing.assert_close(balanced.sum(1), torch.ones(64))
    used = balanced.mean(0)
    assert used.max() / used.min() < 1.1 < centred(logits, torch.zeros(8), 0.1).mean(0).max() * 8
    weights = (torch.arange(64) < 40).float()
    torch.testing.assert_close(sinkhorn(logits, 0.1, weights)[:40], sinkhorn(logits[:40], 0.1))


def test_the_centre_moves_to_the_mean_of_the_logits():
    centre = moved_centre(torch.zeros(3), torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), 0.9)
    torch.testing.assert_close(centre, torch.full((3,), 0.2))


def test_koleo_rewards_spread():
    near = functional.normalize(torch.ones(8, 4) + 0.01 * torch.randn(8, 4, generator=seeded()), dim=1)
    assert koleo(torch.randn(8, 4, generator=seeded())) < koleo(near)
    same = torch.ones(8, 4, requires_grad=True)
    koleo(same).backward()
    assert torch.isfinite(same.grad).all()


def test_masks_are_blocks_of_the_share_drawn_and_weights_sum_to_one_per_image():
    masked, positions, weights = block_masks(200, 14, 0.3, 0.2, seeded())
    share = masked.float().mean(1)
    assert share.min() >= 0.1 - 0.01 and share.max() <= 0.5 + 0.01 and abs(share.mean() - 0.3) < 0.03
    torch.testing.assert_close(weights.sum(1), torch.ones(200))
    taken = masked.gather(1, positions)
    assert torch.equal(taken, weights > 0)
    grid = masked.view(-1, 14, 14).float()
    beside = (grid[:, :, 1:] * grid[:, :, :-1]).sum() / grid[:, :, :-1].sum()
    assert beside > 0.6  # 0.3 if patches were hidden one by one
    assert torch.equal(masked, block_masks(200, 14, 0.3, 0.2, seeded())[0])


def test_the_patch_loss_counts_hidden_patches_only():
    target = torch.rand(2, 3, 5, generator=seeded()).softmax(-1)
    logits = torch.randn(2, 3, 5, generator=seeded(1))
    weights = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    expected = [
        functional.cross_entropy(logits[0, :2] / 0.1, target[0, :2]),
        functional.cross_entropy(logits[1, :1] / 0.1, target[1, :1]),
    ]
    torch.testing.assert_close(patch_loss(target, logits, weights, 0.1), torch.stack(expected).mean())


def test_the_pixel_loss_is_zero_for_the_hidden_patches_themselves():
    images = torch.randn(2, 3, 8, 8, generator=seeded())
    positions, weights = torch.tensor([[3, 0], [1, 2]]), torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    lower_right, upper_left = images[0, :, 4:, 4:], images[0, :, :4, :4]
    painted = torch.stack([torch.stack([lower_right, upper_left]), torch.zeros(2, 3, 4, 4)]).flatten(2)
    expected = images[1, :, :4, 4:].square().mean() / 2
    torch.testing.assert_close(pixel_loss(images, painted, positions, weights), expected)


def test_spread_knows_features_of_one_direction_and_of_many():
    target = torch.eye(4).repeat(25, 1)
    many = spread_of_features(target, torch.randn(1000, 16, generator=seeded()))
    assert many["effective_rank"] > 15 and many["feature_sd"] == pytest.approx(1.0, abs=0.05)
    assert many["teacher_entropy"] == 0 and many["prototype_entropy"] == pytest.approx(math.log(4))
    line = torch.randn(1000, 1, generator=seeded()) * torch.ones(16) + 5
    assert spread_of_features(target, line)["effective_rank"] < 1.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"teacher_entropy": math.log(64)}, "same assignment"),
        ({"teacher_entropy": 0.0, "prototype_entropy": 0.0}, "same assignment"),
        ({"feature_sd": 0.001}, "same features"),
        ({"effective_rank": 1.1}, "one direction"),
    ],
)
def test_two_bad_validations_in_a_row_after_the_start_are_a_collapse(change, said):
    healthy = {
        "teacher_entropy": 2.0,
        "prototype_entropy": math.log(64),
        "feature_sd": 0.8,
        "effective_rank": 9.0,
    }

    def curve(*rows):
        return {
            "step": [100 * (n + 1) for n in range(len(rows))],
            **{k: [r[k] for r in rows] for k in WATCHED},
        }

    bad = healthy | change
    refuse_collapse(curve(bad, healthy, bad), 64, since=0)
    refuse_collapse(curve(bad, bad), 64, since=100)
    with pytest.raises(InputError, match=said) as refused:
        refuse_collapse(curve(healthy, bad, bad), 64, since=0)
    assert refused.value.code == "collapsed"
