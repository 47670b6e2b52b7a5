"""The network is transformers' ViT at the published sizes, with stochastic depth, and its heads."""

import pytest
import torch

from models.spafoundation.toy_cohort import TOY
from tissuemake.models.spafoundation.architecture import PRESETS
from tissuemake.models.spafoundation.network import DropPath, Pupil, all_tokens, build_backbone
from tissuemake.models.spafoundation.pooling import pooled


@pytest.mark.parametrize(("preset", "millions"), [("small", 21.7), ("base", 85.8)])
def test_presets_have_the_published_sizes(preset, millions):
    with torch.device("meta"):
        count = sum(weight.numel() for weight in build_backbone(PRESETS[preset].architecture).parameters())
    assert round(count / 1e6, 1) == millions


def test_a_recipe_for_fewer_devices_is_slower():
    recipe = PRESETS["base"]
    assert recipe.on(8) is recipe and PRESETS["tiny"].on(1) is PRESETS["tiny"]
    one = recipe.on(1)
    assert one.schedule.learning_rate == pytest.approx(recipe.schedule.learning_rate / 8)
    assert one.distillation.momentum == (0.9995, 1.0) and recipe.on(4).distillation.momentum == (0.996, 1.0)


def test_tokens_are_those_of_transformers_and_masks_and_sizes_work():
    torch.manual_seed(0)
    backbone = build_backbone(TOY.architecture).eval()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(all_tokens(backbone, images), backbone(images).last_hidden_state)
    masked = torch.zeros(2, 16, dtype=torch.bool)
    masked[0, 3] = True
    torch.nn.init.ones_(backbone.embeddings.mask_token)
    hidden = backbone(images, bool_masked_pos=masked).last_hidden_state
    torch.testing.assert_close(all_tokens(backbone, images, masked), hidden)
    assert not torch.equal(hidden[0], all_tokens(backbone, images)[0])
    assert all_tokens(backbone, torch.randn(2, 3, 16, 16)).shape == (2, 5, 32)


def test_drop_path_skips_branches_in_training_and_keeps_the_mean():
    torch.manual_seed(0)
    drop = DropPath(0.25)
    dropped = drop(torch.ones(4000, 3, 2))
    assert sorted(dropped.unique().tolist()) == pytest.approx([0.0, 4 / 3])
    assert dropped.mean() == pytest.approx(1.0, abs=0.05)
    assert torch.equal(dropped[:, 0, 0], dropped[:, 2, 1])
    assert torch.equal(drop.eval()(torch.ones(5)), torch.ones(5))
    assert [layer.dropout.chance for layer in build_backbone(TOY.architecture).layers] == [0.0, 0.1]


def test_heads_give_cosines_and_are_shared_or_not():
    pupil = Pupil(TOY.architecture, TOY.distillation)
    cosines = pupil.tile_head(torch.randn(5, 32))
    assert cosines.shape == (5, 32) and cosines.abs().max() <= 1 + 1e-5
    assert pupil.patch_head is pupil.tile_head and len(pupil.heads()) == 1


def test_eight_looks_do_not_depend_on_how_a_tile_lies():
    torch.manual_seed(0)
    backbone = build_backbone(TOY.architecture).eval()
    images = torch.randn(3, 3, 32, 32)
    turned = images.rot90(1, (2, 3)).flip(3)
    torch.testing.assert_close(
        pooled(backbone, images, "layers", 8), pooled(backbone, turned, "layers", 8), atol=1e-5, rtol=1e-4
    )
    assert not torch.allclose(pooled(backbone, images, "cls", 1), pooled(backbone, turned, "cls", 1))
    assert pooled(backbone, images, "cls", 1).shape == (3, 32)
    assert pooled(backbone, images, "layers", 1).shape == (3, 2 * 3 * 32)
