"""Published encoders: the real loading code on randomly initialised models saved in the published format."""

import json
import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
import yaml

from tissuemake import hub
from tissuemake.configuration import read_schema
from tissuemake.contracts import EMBEDDINGS, read_anndata
from tissuemake.errors import InputError
from tissuemake.histology.color import FEATURES
from tissuemake.histology.encoders import embed_tiles, load_encoder
from tissuemake.histology.encoders.weights import read_state
from tissuemake.histology.published_encoders import ENCODERS
from tissuemake.histology.tile_store import write_tiles

PX = 28
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": PX}
CONFIGS = {
    "phikon": transformers.ViTConfig(**TINY, intermediate_size=64, patch_size=14, layer_norm_eps=1e-6),
    "phikon-v2": transformers.Dinov2Config(**TINY, mlp_ratio=2, patch_size=14),
    "hibou-b": transformers.Dinov2WithRegistersConfig(
        **TINY, mlp_ratio=2, patch_size=14, use_swiglu_ffn=True
    ),
    "resnet50": transformers.ResNetConfig(embedding_size=8, hidden_sizes=[16, 32], depths=[1, 1]),
}


def make(name):
    """A random model of the encoder's kind, all its weights away from where they start."""
    torch.manual_seed(3)
    kind = getattr(transformers, ENCODERS[name].architecture)
    model = kind(CONFIGS[name]).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


@pytest.fixture
def tiny(monkeypatch):
    """The registry with sizes of the tiny models."""
    for name in CONFIGS:
        monkeypatch.setitem(ENCODERS, name, replace(ENCODERS[name], size_px=PX, features=32))


@pytest.fixture
def folder(request, tmp_path, tiny):
    """Folder of the encoder named by the parameter, as the hub would have it."""
    name = request.param
    make(name).save_pretrained(tmp_path / name)
    if name == "hibou-b":
        # The published config names code that is to be run, and a type that transformers knows as another.
        config = json.loads((tmp_path / name / "config.json").read_text())
        config |= {"auto_map": {"AutoModel": "modeling_hibou.Hibou"}, "architectures": ["Hibou"]}
        (tmp_path / name / "config.json").write_text(json.dumps(config | {"model_type": "hibou"}))
        (tmp_path / name / "modeling_hibou.py").write_text("raise SystemExit('this code ran')")
    return tmp_path / name


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (5, PX, PX, 3), dtype=np.uint8)


def standardised(pictures, name):
    mean, spread = (np.array(part, np.float32) for part in ENCODERS[name].normalisation)
    return torch.from_numpy(((pictures / np.float32(255) - mean) / spread).transpose(0, 3, 1, 2).copy())


def expected(model, pictures, name):
    with torch.inference_mode():
        out = model(standardised(pictures, name)).last_hidden_state
    return (out.mean(dim=(2, 3)) if out.ndim == 4 else out[:, 0]).numpy()


@pytest.mark.parametrize("folder", CONFIGS, indirect=True)
def test_vectors_are_those_of_the_saved_model(folder, pictures):
    name = folder.name
    encoder, facts = load_encoder(name, folder)
    np.testing.assert_allclose(encoder.encode(pictures, 0.5), expected(make(name), pictures, name), atol=1e-5)
    assert encoder.features[-1] == f"{name}_31"
    assert facts["weights"] == name and len(facts["weights_sha256"]) == 64
    assert facts["licence"] == ENCODERS[name].licence and facts["device"].startswith("cpu")


@pytest.mark.parametrize("folder", ["phikon"], indirect=True)
def test_pickled_weights_are_read_as_weights_only(folder, pictures):
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    encoder, _ = load_encoder("phikon", folder)
    np.testing.assert_allclose(
        encoder.encode(pictures, 0.5), expected(make("phikon"), pictures, "phikon"), atol=1e-5
    )


class Harmful:
    def __reduce__(self):
        return print, ("this code ran",)


@pytest.mark.parametrize("folder", ["phikon"], indirect=True)
def test_a_pickle_with_code_is_refused(folder, capsys):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Harmful()}, protocol=2))
    with pytest.raises(InputError) as caught:
        load_encoder("phikon", folder)
    assert caught.value.code == "pickle_refused" and "safetensors" in caught.value.remedy
    assert "this code ran" not in capsys.readouterr().out


def test_a_file_of_weights_alone_is_read_without_running_code(tmp_path, capsys):
    (tmp_path / "ctranspath.pth").write_bytes(pickle.dumps({"model": Harmful()}, protocol=2))
    with pytest.raises(InputError) as caught:
        read_state(tmp_path / "ctranspath.pth")
    assert caught.value.code == "pickle_refused"
    assert "this code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("folder", ["phikon"], indirect=True)
@pytest.mark.parametrize(
    ("break_it", "code", "said"),
    [
        (lambda f: (f / "config.json").unlink(), "missing_model_file", "config.json"),
        (lambda f: (f / "model.safetensors").unlink(), "missing_model_file", "model.safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 64), "unreadable_model", "model.safetensors"),
        (lambda f: drop(f, "encoder.layer.1.output.dense.weight"), "wrong_model", "layers.1.mlp.fc2.weight"),
    ],
)
def test_a_broken_folder_is_named(folder, break_it, code, said):
    break_it(folder)
    with pytest.raises(InputError) as caught:
        load_encoder("phikon", folder)
    assert caught.value.code == code and said in caught.value.message


def drop(folder, name):
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    del state[name]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("folder", ["phikon"], indirect=True)
def test_a_network_of_another_size_is_not_the_encoder(folder, monkeypatch):
    monkeypatch.setitem(ENCODERS, "phikon", replace(ENCODERS["phikon"], features=768))
    with pytest.raises(InputError, match="32 features; 'phikon' has 768"):
        load_encoder("phikon", folder)


@pytest.mark.parametrize("folder", ["phikon"], indirect=True)
def test_tiles_of_any_size_are_scaled_and_provenance_is_whole(folder, tmp_path, pictures):
    large = np.repeat(np.repeat(pictures, 2, axis=1), 2, axis=2)
    table = pd.DataFrame({"kind": "spot"}, index=[f"t{i}" for i in range(5)])
    write_tiles(tmp_path / "t.parquet", table, large)
    embed_tiles(tmp_path / "t.parquet", tmp_path / "a.h5ad", encoder="phikon", weights=folder)
    embed_tiles(tmp_path / "t.parquet", tmp_path / "b.h5ad", encoder="phikon", weights=str(folder))
    first, second = (read_anndata(tmp_path / name, EMBEDDINGS) for name in ("a.h5ad", "b.h5ad"))
    assert first.shape == (5, 32) and np.isfinite(first.X).all() and np.ptp(first.X, axis=0).min() > 0
    np.testing.assert_array_equal(first.X, second.X)
    record = first.uns["tissuemake"]
    assert record["encoder"] == "phikon" and not record["commercial"]
    assert record["licence"] == "Owkin non-commercial" and record["precision"] == "32-true"
    assert record["input_mpp"] == pytest.approx(112 / PX)
    assert "trained at 0.5; tiles of 14 µm suit it" in record["note"]


def test_scaling_is_antialiased():
    from tissuemake.histology.encoders.network import scaled

    board = torch.zeros(1, 3, 64, 64)
    board[..., ::4] = 255
    small = scaled(board, 16)[..., 2:-2]
    # Every pixel is a mean of all that it covers; sampling between the lines would miss them.
    assert small.shape[-2] == 16 and (small - 255 / 4).abs().max() < 5
    assert scaled(board, 64) is board


def test_a_job_without_its_gpu_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError) as caught:
        load_encoder("phikon", tmp_path, gpus=1)
    assert caught.value.code == "gpu_not_visible"


@pytest.mark.parametrize(
    ("name", "weights", "code", "said"),
    [
        ("phikon", "/no/such/folder", "missing_model", "/no/such/folder"),
        ("ctranspath", None, "weights_needed", "10.1016/j.media.2022.102559"),
        ("color", "somewhere", "weights_not_used", "color"),
        ("phikn", None, "unknown_method", "phikon-v2"),
    ],
)
def test_weights_that_cannot_be_are_refused(name, weights, code, said):
    with pytest.raises(InputError) as caught:
        load_encoder(name, weights)
    assert caught.value.code == code and said in str(caught.value)


def fake_hub(monkeypatch, download):
    monkeypatch.setattr(hub, "import_module", lambda _: SimpleNamespace(snapshot_download=download))


@pytest.mark.parametrize("folder", ["phikon"], indirect=True)
def test_the_hub_is_asked_for_safetensors_first_and_its_commit_is_recorded(folder, monkeypatch, tmp_path):
    asked = []

    def download(name, revision, allow_patterns):
        asked.append((name, revision, allow_patterns))
        return str(folder)

    fake_hub(monkeypatch, download)
    _, facts = load_encoder("phikon", "owkin/phikon@v1")
    assert asked == [("owkin/phikon", "v1", ["config.json", "model.safetensors"])]
    assert facts["weights"] == "owkin/phikon@phikon"
    (folder / "model.safetensors").rename(tmp_path / "kept")
    with pytest.raises(InputError):
        load_encoder("phikon")
    assert asked[-1] == ("owkin/phikon", None, ["config.json", "pytorch_model.bin"])


def test_a_gated_model_says_how_to_get_it(monkeypatch):
    class GatedRepoError(Exception):
        pass

    def download(*_, **__):
        raise GatedRepoError("401")

    fake_hub(monkeypatch, download)
    with pytest.raises(InputError) as caught:
        load_encoder("hibou-l")
    assert caught.value.code == "gated_model"
    assert "huggingface.co/histai/hibou-L" in caught.value.remedy and "HF_TOKEN" in caught.value.remedy


def test_without_timm_the_error_has_the_line_that_installs_it(tmp_path, monkeypatch):
    from tissuemake.histology.encoders import timm_models

    monkeypatch.setattr(timm_models, "mend_torchvision", lambda: (_ for _ in ()).throw(ImportError("timm")))
    (tmp_path / "model.safetensors").touch()
    for name in ("uni", "conch", "ctranspath"):
        with pytest.raises(InputError) as caught:
            load_encoder(name, tmp_path)
        assert caught.value.code == "missing_package"
        assert "pip install 'torch==2.13.0' 'torchvision==0.28.0' 'timm" in caught.value.remedy


def test_registry_is_whole():
    for name, entry in ENCODERS.items():
        assert entry.licence and entry.reference and entry.access in ("built in", "open", "gated", "by hand")
        assert bool(entry.hub) == (entry.access in ("open", "gated")), name
        assert (entry.millions > 0) == (entry.loader != "color")
        assert all(0 < value < 1 for part in entry.normalisation for value in part)
    assert ENCODERS["color"].features == len(FEATURES)
    listed = read_schema("config")["properties"]["histology"]["properties"]["encoders"]["items"]["enum"]
    assert set(listed) == {*ENCODERS, "spafoundation"}


def test_environment_of_the_rule_has_what_networks_need():
    from pathlib import Path

    root = Path(__file__).parents[2]
    packages = next(
        part["pip"]
        for part in yaml.safe_load((root / "envs" / "torch.yaml").read_text())["dependencies"]
        if isinstance(part, dict)
    )
    names = {line.split(" ")[0] for line in packages}
    assert {"transformers", "huggingface-hub", "torch", "imagecodecs", "scikit-image", "tqdm"} <= names
    assert "envs/torch.yaml" in (root / "workflow" / "rules" / "embed.smk").read_text()
