"""Published iBOT checkpoints: converted weights do the published arithmetic; what is not such a checkpoint is named."""

import argparse
import pickle
import zipfile

import numpy as np
import pytest
import torch
from torch.nn import functional

from tissuemake.errors import InputError
from tissuemake.models.spafoundation.architecture import Architecture
from tissuemake.models.spafoundation.encode import load_encoder
from tissuemake.models.spafoundation.network import all_tokens, build_backbone
from tissuemake.models.spafoundation.published import (
    NORMALISATIONS,
    choose_part,
    convert,
    import_checkpoint,
    read_checkpoint,
)
from tissuemake.models.store import load_model

WIDTH, LAYERS, HEADS, PATCH, PX = 128, 3, 2, 16, 224


@pytest.fixture
def published():
    """Random weights under iBOT's names; none at a value where a mistake would not show."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape, around=0.0):
        return around + 0.05 * torch.randn(*shape, generator=generator)

    state = {
        "cls_token": random(1, 1, WIDTH),
        "pos_embed": random(1, 1 + (PX // PATCH) ** 2, WIDTH),
        "masked_embed": random(1, WIDTH),
        "patch_embed.proj.weight": random(WIDTH, 3, PATCH, PATCH),
        "patch_embed.proj.bias": random(WIDTH),
        "norm.weight": random(WIDTH, around=1.0),
        "norm.bias": random(WIDTH),
    }
    sizes = {"attn.qkv": (3 * WIDTH, WIDTH), "attn.proj": (WIDTH, WIDTH)}
    sizes |= {"mlp.fc1": (4 * WIDTH, WIDTH), "mlp.fc2": (WIDTH, 4 * WIDTH)}
    for layer in range(LAYERS):
        for name, shape in sizes.items():
            state[f"blocks.{layer}.{name}.weight"] = random(*shape)
            state[f"blocks.{layer}.{name}.bias"] = random(shape[0])
        for name in ("norm1", "norm2"):
            state[f"blocks.{layer}.{name}.weight"] = random(WIDTH, around=1.0)
            state[f"blocks.{layer}.{name}.bias"] = random(WIDTH)
    return state


def reference(state, images, offset=0.0):
    """The published network, written out: pre-norm blocks, fused qkv, exact GELU, eps 1e-6."""

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x, name):
        return functional.layer_norm(x, (WIDTH,), state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-6)

    x = functional.conv2d(
        images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=PATCH
    )
    rows = x.shape[-1]
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], dim=1)
    x = x + positions(state["pos_embed"], rows, offset)
    for layer in range(LAYERS):
        block = f"blocks.{layer}."
        qkv = linear(norm(x, block + "norm1"), block + "attn.qkv")
        q, k, v = qkv.unflatten(-1, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4)
        share = (q @ k.transpose(-2, -1) * (WIDTH // HEADS) ** -0.5).softmax(dim=-1)
        y = linear((share @ v).transpose(1, 2).flatten(2), block + "attn.proj")
        x = x + state.get(block + "gamma_1", 1.0) * y
        hidden = linear(norm(x, block + "norm2"), block + "mlp.fc1")
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
        x = x + state.get(block + "gamma_2", 1.0) * linear(hidden, block + "mlp.fc2")
    return norm(x, "norm")


def positions(learnt, rows, offset):
    """Positions for rows x rows patches; `offset` is what iBOT adds to the size before it interpolates."""
    edge = round((learnt.shape[1] - 1) ** 0.5)
    if rows == edge:
        return learnt
    grid = learnt[:, 1:].unflatten(1, (edge, edge)).permute(0, 3, 1, 2)
    how = {"scale_factor": (rows + offset) / edge} if offset else {"size": (rows, rows)}
    grid = functional.interpolate(grid, mode="bicubic", **how)
    return torch.cat([learnt[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


def ours(folder, images):
    state, config = load_model(folder, "spafoundation")
    backbone = build_backbone(Architecture(**config["architecture"])).eval()
    backbone.load_state_dict(state)
    with torch.inference_mode():
        return all_tokens(backbone, images), config


WRAPPED = {
    "flat": lambda state: state,
    "state_dict": lambda state: {"state_dict": state},
    "teacher": lambda state: {
        "teacher": prefixed(state, "backbone.") | {"head.mlp.0.weight": torch.ones(2, 2)},
        "student": {key: value + 1 for key, value in prefixed(state, "module.backbone.").items()},
        "epoch": 3,
        "args": argparse.Namespace(arch="vit_base"),
        "best": np.float64(0.5),
    },
}


def prefixed(state, prefix):
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize("wrapping", WRAPPED)
@pytest.mark.parametrize("px", [224, 96])
def test_outputs_equal_the_published_arithmetic(published, tmp_path, wrapping, px):
    torch.save(WRAPPED[wrapping](published), tmp_path / "vit.pth")
    import_checkpoint(tmp_path / "vit.pth", tmp_path / "model")
    images = torch.randn(2, 3, px, px, generator=torch.Generator().manual_seed(1))
    found, config = ours(tmp_path / "model", images)
    expected = reference(published, images)
    assert (found - expected).abs().max() < 1e-5 < 0.1 < expected.std()
    assert config["architecture"] == {
        "width": WIDTH,
        "layers": LAYERS,
        "heads": HEADS,
        "patch": PATCH,
        "image_px": PX,
        "drop_path": 0.0,
    }
    assert config["source"]["part"] == wrapping and len(config["source"]["sha256"]) == 64


def test_tiles_are_encoded_by_the_imported_model(published, tmp_path):
    torch.save(published, tmp_path / "vit.pth")
    import_checkpoint(tmp_path / "vit.pth", tmp_path / "model", licence="MIT")
    pictures = np.random.default_rng(0).integers(0, 256, (3, PX, PX, 3), dtype=np.uint8)
    mean, sd = ((np.array(part, np.float32)) for part in NORMALISATIONS["imagenet"])
    images = torch.from_numpy(((pictures / np.float32(255) - mean) / sd).transpose(0, 3, 1, 2).copy())
    expected = reference(published, images)[:, 0]
    found = load_encoder(tmp_path / "model").encode(pictures, 0.5)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_the_student_can_be_asked_for(published, tmp_path):
    torch.save(WRAPPED["teacher"](published), tmp_path / "vit.pth")
    content = read_checkpoint(tmp_path / "vit.pth")
    state, name = choose_part(content, "student", tmp_path)
    assert name == "student" and torch.equal(state["cls_token"], published["cls_token"] + 1)
    with pytest.raises(InputError, match="no part 'model' \\(there is teacher, student\\)"):
        choose_part(content, "model", tmp_path)


def test_layer_scale_moves_into_the_weights(published, tmp_path):
    for layer in range(LAYERS):
        for i in (1, 2):
            published[f"blocks.{layer}.gamma_{i}"] = torch.linspace(0.1, 1, WIDTH)
    torch.save(published, tmp_path / "vit.pth")
    import_checkpoint(tmp_path / "vit.pth", tmp_path / "model")
    images = torch.randn(1, 3, PX, PX)
    found, _ = ours(tmp_path / "model", images)
    assert (found - reference(published, images)).abs().max() < 1e-5


def test_a_teacher_without_a_mask_token_is_whole(published, tmp_path):
    del published["masked_embed"]
    state, _ = convert(published, tmp_path)
    assert state["embeddings.mask_token"].shape == (1, 1, WIDTH) and not state["embeddings.mask_token"].any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("blocks.1.attn.qkv.bias"), "missing blocks.1.attn.qkv.bias"),
        (lambda s: s.pop("norm.weight"), "missing norm.weight"),
        (lambda s: s.update({"stages.0.conv.weight": torch.ones(1)}), "not expected stages.0.conv.weight"),
        (
            lambda s: [s.pop(key) for key in list(s) if key.startswith("blocks")] and None,
            "it has no blocks.N, but cls_token",
        ),
        (lambda s: s.update(pos_embed=torch.zeros(1, 1 + 190, WIDTH)), "190 positions"),
    ],
)
def test_missing_and_unexpected_parts_are_named(published, tmp_path, change, said):
    change(published)
    torch.save(published, tmp_path / "vit.pth")
    with pytest.raises(InputError) as caught:
        import_checkpoint(tmp_path / "vit.pth", tmp_path / "model")
    assert caught.value.code == "not_ibot" and said in caught.value.message
    assert not (tmp_path / "model").exists()


class Harmful:
    def __reduce__(self):
        return print, ("this code ran",)


def test_a_pickle_with_code_is_refused(published, tmp_path, capsys):
    torch.save(published | {"harm": Harmful()}, tmp_path / "new.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps({"harm": Harmful()}, protocol=2))
    for name in ("new.pth", "old.pth"):
        with pytest.raises(InputError) as caught:
            import_checkpoint(tmp_path / name, tmp_path / "model")
        assert caught.value.code == "pickle_refused" and "print" in caught.value.message
    assert "this code ran" not in capsys.readouterr().out


def test_numbers_of_an_old_numpy_are_read(published, tmp_path):
    torch.save(published | {"best": np.float64(0.5)}, tmp_path / "new.pth")
    with zipfile.ZipFile(tmp_path / "new.pth") as new, zipfile.ZipFile(tmp_path / "old.pth", "w") as old:
        for name in new.namelist():
            content = new.read(name)
            if name.endswith("data.pkl"):
                assert b"numpy._core.multiarray" in content
                content = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            old.writestr(name, content)
    assert read_checkpoint(tmp_path / "old.pth")["best"] == 0.5


def test_no_file_and_no_checkpoint_are_told_apart(tmp_path):
    (tmp_path / "text.pth").write_text("no checkpoint")
    for name, code in (("none.pth", "missing_checkpoint"), ("text.pth", "pickle_refused")):
        with pytest.raises(InputError) as caught:
            import_checkpoint(tmp_path / name, tmp_path / "model")
        assert caught.value.code in (code, "unreadable_model")
