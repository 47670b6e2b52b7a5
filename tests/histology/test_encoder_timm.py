"""Encoders that need timm, on randomly initialised models saved in the published format; skipped without timm."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from tissuemake.errors import InputError
from tissuemake.histology.encoders import load_encoder
from tissuemake.histology.encoders.torchvision_import import mend_torchvision
from tissuemake.histology.published_encoders import ENCODERS

mend_torchvision()
timm = pytest.importorskip("timm")

PX = 56
# What stands in config.json beside the options of the model card, and the features of the tiny model.
TINY = {
    "uni": ("vit_large_patch16_224", {}, 48),
    "uni2": ("vit_giant_patch14_224", {}, 48),
    "virchow2": ("vit_huge_patch14_224", {}, 96),
    "h-optimus-0": ("vit_giant_patch14_reg4_dinov2", {}, 48),
    "h0-mini": ("vit_base_patch14_reg4_dinov2", {"mlp_ratio": 5.33334, "global_pool": ""}, 96),
}
SIZES = {"img_size": PX, "embed_dim": 48, "depth": 2, "num_heads": 2, "patch_size": 14}


def shaken(model):
    """Weights away from where they start: zeros would hide a part that is not loaded."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def images(pictures, name):
    mean, spread = (np.array(part, np.float32) for part in ENCODERS[name].normalisation)
    return torch.from_numpy(((pictures / np.float32(255) - mean) / spread).transpose(0, 3, 1, 2).copy())


@pytest.fixture
def pictures():
    return np.random.default_rng(1).integers(0, 256, (3, PX, PX, 3), dtype=np.uint8)


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize("name", TINY)
def test_vectors_are_those_of_the_saved_model(name, pickled, tmp_path, pictures, monkeypatch):
    architecture, model_args, features = TINY[name]
    options = {key: value for key, value in ENCODERS[name].options.items() if key not in SIZES}
    entry = replace(ENCODERS[name], size_px=PX, features=features, options=options)
    monkeypatch.setitem(ENCODERS, name, entry)
    layers = {"mlp_layer": timm.layers, "act_layer": torch.nn}
    built = {key: getattr(layers[key], value) if key in layers else value for key, value in options.items()}
    model = shaken(timm.create_model(architecture, num_classes=0, **SIZES | model_args | built))
    if pickled:
        torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    else:
        save_file(model.state_dict(), tmp_path / "model.safetensors")
    config = {"architecture": architecture, "num_classes": 0, "model_args": SIZES | model_args}
    (tmp_path / "config.json").write_text(json.dumps(config | {"pretrained_cfg": {"num_classes": 0}}))

    encoder, facts = load_encoder(name, tmp_path)
    with torch.inference_mode():
        tokens = model.forward_features(images(pictures, name))
    expected = tokens[:, 0]
    if features == 96:
        expected = torch.cat([expected, tokens[:, -((PX // 14) ** 2) :].mean(dim=1)], dim=1)
    np.testing.assert_allclose(encoder.encode(pictures, 0.5), expected.numpy(), atol=1e-5)
    assert facts["licence"] == ENCODERS[name].licence


@pytest.mark.parametrize("name", ["uni", "uni2", "virchow2", "h-optimus-0"])
def test_options_of_the_registry_give_the_published_number_of_parameters(name):
    architecture = TINY[name][0]
    layers = {"mlp_layer": timm.layers, "act_layer": torch.nn}
    options = {
        key: getattr(layers[key], value) if key in layers else value
        for key, value in ENCODERS[name].options.items()
    }
    with torch.device("meta"):
        model = timm.create_model(architecture, num_classes=0, **options)
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert millions == pytest.approx(ENCODERS[name].millions, rel=0.005)
    width = model.num_features * (2 if ENCODERS[name].pooling == "cls+mean" else 1)
    assert width == ENCODERS[name].features


def test_a_checkpoint_that_lacks_a_part_is_refused(tmp_path):
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, **ENCODERS["uni"].options)
    state = model.state_dict()
    del state["blocks.3.attn.qkv.weight"]
    torch.save(state, tmp_path / "pytorch_model.bin")
    config = {"architecture": "vit_tiny_patch16_224", "num_classes": 0}
    (tmp_path / "config.json").write_text(json.dumps(config | {"pretrained_cfg": {"num_classes": 0}}))
    with pytest.raises(InputError) as caught:
        load_encoder("uni", tmp_path)
    assert caught.value.code == "unreadable_model"


def test_ctranspath_has_the_layout_of_its_time(tmp_path):
    from tissuemake.histology.encoders.ctranspath import ConvolutionalStem

    model = timm.create_model("swin_tiny_patch4_window7_224", embed_layer=ConvolutionalStem, num_classes=0)
    model = shaken(model)
    state = {}
    for key, value in model.state_dict().items():
        parts = key.split(".")
        if parts[2:3] == ["downsample"]:
            parts[1] = str(int(parts[1]) - 1)
        state[".".join(parts)] = value
    state["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    state["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.long)
    torch.save({"model": state | {"head.weight": torch.zeros(1000, 768)}}, tmp_path / "ctranspath.pth")

    encoder, facts = load_encoder("ctranspath", tmp_path / "ctranspath.pth")
    pictures = np.random.default_rng(2).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    with torch.inference_mode():
        found = model.forward_features(images(pictures, "ctranspath")).mean(dim=(1, 2)).numpy()
    np.testing.assert_allclose(encoder.encode(pictures, 0.5), found, atol=1e-5)
    assert "non-commercial" in facts["licence"] and facts["weights"] == "ctranspath.pth"


def test_conch_pools_by_one_query(tmp_path, monkeypatch, pictures):
    width, out, heads = 64, 32, 8
    trunk = timm.models.VisionTransformer(
        img_size=PX, patch_size=14, embed_dim=width, depth=2, num_heads=width // 64, num_classes=0
    )
    trunk = shaken(trunk)
    generator = torch.Generator().manual_seed(7)

    def random(*shape):
        return torch.randn(*shape, generator=generator) * 0.1

    pool = {
        "query": random(1, out),
        "attn.q_proj_weight": random(out, out),
        "attn.k_proj_weight": random(out, width),
        "attn.v_proj_weight": random(out, width),
        "attn.in_proj_bias": random(3 * out),
        "attn.out_proj.weight": random(out, out),
        "attn.out_proj.bias": random(out),
        **{f"ln_q.{part}": random(out) for part in ("weight", "bias")},
        **{f"ln_k.{part}": random(width) for part in ("weight", "bias")},
    }
    last = {f"ln_contrast.{part}": random(out) for part in ("weight", "bias")}
    state = {f"visual.trunk.{key}": value for key, value in trunk.state_dict().items()}
    state |= {f"visual.attn_pool_contrast.{key}": value for key, value in pool.items()}
    state |= {f"visual.{key}": value for key, value in last.items()}
    state |= {"visual.proj_contrast": random(out, out), "visual.ln_caption.weight": random(out)}
    torch.save(state | {"text.token_embedding.weight": random(4, 4)}, tmp_path / "pytorch_model.bin")
    monkeypatch.setitem(ENCODERS, "conch", replace(ENCODERS["conch"], size_px=PX, features=out))

    with torch.inference_mode():
        tokens = trunk.forward_features(images(pictures, "conch"))
        keys = functional.layer_norm(tokens, (width,), pool["ln_k.weight"], pool["ln_k.bias"])
        query = functional.layer_norm(pool["query"], (out,), pool["ln_q.weight"], pool["ln_q.bias"])
        bias = pool["attn.in_proj_bias"].split(out)
        q = (query @ pool["attn.q_proj_weight"].T + bias[0]).view(1, heads, -1).transpose(0, 1)
        k = (keys @ pool["attn.k_proj_weight"].T + bias[1]).unflatten(-1, (heads, -1)).transpose(1, 2)
        v = (keys @ pool["attn.v_proj_weight"].T + bias[2]).unflatten(-1, (heads, -1)).transpose(1, 2)
        share = (q @ k.transpose(-1, -2) / (out // heads) ** 0.5).softmax(dim=-1)
        seen = (share @ v).transpose(1, 2).flatten(2)[:, 0]
        seen = seen @ pool["attn.out_proj.weight"].T + pool["attn.out_proj.bias"]
        expected = functional.layer_norm(seen, (out,), last["ln_contrast.weight"], last["ln_contrast.bias"])
    for weights in (tmp_path, tmp_path / "pytorch_model.bin"):
        encoder, _ = load_encoder("conch", weights)
        np.testing.assert_allclose(encoder.encode(pictures, 0.25), expected.numpy(), atol=1e-5)
