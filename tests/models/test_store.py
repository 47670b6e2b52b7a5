"""A model folder comes back as it was written; what is missing, changed, foreign or a pickle is refused."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from tissuemake.errors import InputError
from tissuemake.models import store
from tissuemake.models.card import model_card
from tissuemake.models.curve import Curve
from tissuemake.models.store import FILES, check_pinned, load_model, save_model, weights_hash

CONFIG = {"kind": "sparank", "preset": "tiny", "labels": ["T cell", "B cell"], "medians": [1.0, 2.5]}


@pytest.fixture
def curve() -> Curve:
    curve = Curve(seed=7, device="cpu (1 threads)", precision="32-true")
    for step, loss in ((10, 2.0), (20, 1.0), (30, 1.5)):
        curve.add(step=step, train_loss=loss, valid_loss=loss, learning_rate=1e-3, seconds=step / 10)
    return curve


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    weight = torch.arange(12.0).reshape(3, 4)
    # Tied, strided and half-width: what real models hold and the format does not take as it is.
    return {
        "embed": weight,
        "head": weight,
        "turned": weight.T,
        "half": weight.bfloat16(),
        "count": torch.tensor(3),
    }


@pytest.fixture
def folder(tmp_path, state, curve) -> Path:
    save_model(tmp_path / "model", state, CONFIG, "# card\n", curve)
    return tmp_path / "model"


def refused(where: str | Path, kind: str | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        load_model(where, kind)
    assert caught.value.remedy
    return caught.value


def test_a_model_comes_back_as_it_was_written(folder, state):
    loaded, config = load_model(str(folder), "sparank")
    assert loaded.keys() == state.keys()
    for name, value in state.items():
        assert loaded[name].dtype == value.dtype and torch.equal(loaded[name], value), name
    assert {name: config[name] for name in CONFIG} == CONFIG
    assert config["weights"]["sha256"] == weights_hash(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert (folder / "README.md").read_text() == "# card\n"


def test_the_loss_curve_is_a_table_with_seed_and_device(folder, curve):
    table = pd.read_parquet(folder / "training.parquet")
    assert table.to_dict("list") == curve.columns
    assert table.attrs["tissuemake"] == {
        "seed": 7,
        "device": "cpu (1 threads)",
        "precision": "32-true",
        "best_step": 20,
    }


def test_the_same_weights_have_the_same_hash_wherever_they_are_written(folder, tmp_path, state, curve):
    save_model(tmp_path / "other", dict(reversed(state.items())), CONFIG, "# other\n", curve)
    assert weights_hash(tmp_path / "other") == weights_hash(folder)
    save_model(tmp_path / "changed", {**state, "head": state["head"] + 1}, CONFIG, "# card\n", curve)
    assert weights_hash(tmp_path / "changed") != weights_hash(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    error = refused(folder)
    assert error.code == "missing_model_file" and name in error.message and str(folder) in error.message


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "last.ckpt", "model.pkl", "MODEL.PTH"])
def test_a_pickle_is_refused_and_not_opened(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    error = refused(folder)
    assert error.code == "pickle_refused" and name in error.message and "safetensors" in error.remedy


def test_a_checkpoint_of_our_own_beside_the_weights_is_left_alone(folder):
    (folder / "last.ckpt").write_bytes(b"never read")
    assert load_model(folder)[0]


def test_weights_that_are_not_those_of_the_config_are_refused(folder, tmp_path, state, curve):
    save_model(tmp_path / "other", {**state, "head": state["head"] + 1}, CONFIG, "", curve)
    (tmp_path / "other" / "model.safetensors").replace(folder / "model.safetensors")
    error = refused(folder)
    assert error.code == "weights_changed" and "model.safetensors" in error.message


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"kind": "clock"}, "wrong_model", "'clock'"),
        ({"format": 2}, "model_format", "format 2"),
        ({"weights": None}, "unreadable_model", "config.json"),
        ({"weights": {}}, "unreadable_model", "config.json"),
    ],
)
def test_a_config_that_is_not_ours_is_refused(folder, change, code, said):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    error = refused(folder)
    assert error.code == code and said in error.message


@pytest.mark.parametrize("text", ["{", "[]", "{}", "\x00"])
def test_a_config_that_cannot_be_read_is_named(folder, text):
    (folder / "config.json").write_text(text)
    error = refused(folder)
    assert error.code == "unreadable_model" and str(folder / "config.json") in error.message


def test_weights_that_are_no_safetensors_are_named(folder):
    (folder / "model.safetensors").write_bytes(b"not weights")
    config = json.loads((folder / "config.json").read_text())
    config["weights"]["sha256"] = weights_hash(folder)
    (folder / "config.json").write_text(json.dumps(config))
    error = refused(folder)
    assert error.code == "unreadable_model" and "model.safetensors" in error.message


def test_a_model_of_another_kind_is_refused(folder):
    error = refused(folder, "sagefm")
    assert error.code == "wrong_model" and "'sparank'" in error.message and "sagefm" in error.remedy


@pytest.mark.parametrize(
    "where", ["results/models/sparank-x", "/nowhere/model", "model", "../org/name", "", "a b/c"]
)
def test_a_folder_that_is_not_there_is_no_hub_id(where):
    assert refused(where).code == "missing_model"


def test_an_unknown_kind_is_not_written(tmp_path, curve):
    with pytest.raises(ValueError, match="clock"):
        save_model(tmp_path / "model", {}, {"kind": "clock"}, "", curve)
    assert not (tmp_path / "model").exists()


def test_without_pyarrow_nothing_is_written(tmp_path, state, curve, monkeypatch):
    monkeypatch.setattr(store, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pyarrow") as caught:
        save_model(tmp_path / "model", state, CONFIG, "", curve)
    assert caught.value.code == "missing_package" and not (tmp_path / "model").exists()


KILLED = """
import os, signal, sys
import torch
from tissuemake.models import store
from tissuemake.models.curve import Curve
step = sys.argv[2]
original = getattr(store, step)
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(store, step, die)
store.save_model(sys.argv[1], {"a": torch.ones(2)}, {"kind": "sparank"}, "", Curve(1, "cpu", "32-true"))
"""


@pytest.mark.parametrize("step", ["_write_curve", "write_json"])
def test_a_kill_while_a_model_is_replaced_leaves_a_folder_that_is_refused(folder, step):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), step], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert killed.returncode == -signal.SIGKILL
    error = refused(folder)
    assert error.code == "missing_model_file" and "run it again" in error.remedy


def hub(monkeypatch, download) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=download))


def test_a_hub_id_fetches_our_four_files_and_nothing_else(folder, monkeypatch):
    asked = {}

    def download(name, **options):
        asked.update(name=name, **options)
        return str(folder)

    hub(monkeypatch, download)
    assert load_model("lab/sparank-skin@v1.2")[1]["kind"] == "sparank"
    assert asked == {"name": "lab/sparank-skin", "revision": "v1.2", "allow_patterns": list(FILES)}
    load_model("lab/sparank-skin")
    assert asked["revision"] is None


def test_a_hub_that_does_not_answer_is_an_error_with_a_remedy(monkeypatch):
    def download(name, **options):
        raise ConnectionError("no route")

    hub(monkeypatch, download)
    error = refused("lab/sparank-skin")
    assert (
        error.code == "hub_unreachable" and "no route" in error.message and "copy the folder" in error.remedy
    )


def test_a_hub_repository_without_our_files_is_refused(tmp_path, monkeypatch):
    hub(monkeypatch, lambda name, **options: str(tmp_path / "never_made"))
    assert refused("lab/pickled").code == "missing_model_file"


def test_a_hub_id_without_the_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    error = refused("lab/sparank-skin")
    assert error.code == "missing_package" and "pip install huggingface_hub" in error.remedy


def card(curve: Curve, **changed) -> str:
    facts = {
        "kind": "sparank",
        "intended_use": "Cell types of human skin spots.",
        "training_data": {"atlas.h5ad": "ab" * 32},
        "preset": "tiny",
        "scores": {"pearson r, held-out donor d3": 0.71234},
        "failure_modes": ["Panels below 100 genes.", "Mouse."],
        "licence": "CC BY 4.0, as the atlas.",
    }
    return model_card("sparank-skin", curve=curve, **{**facts, **changed})


def test_a_card_says_what_made_the_model_and_where_it_fails(curve):
    text = card(curve)
    for said in (
        "ab" * 32,
        "tiny",
        "| seed | 7 |",
        "cpu (1 threads)",
        "| seconds | 3 |",
        "0.7123",
        "- Mouse.",
        "CC BY",
    ):
        assert said in text, said
    assert text.startswith("---\nlibrary_name: tissuemake\n") and "30 (weights of step 20)" in text


@pytest.mark.parametrize("empty", ["intended_use", "training_data", "failure_modes", "licence"])
def test_a_card_that_keeps_something_back_is_refused(curve, empty):
    with pytest.raises(ValueError):
        card(curve, **{empty: ""})


def test_a_job_refuses_a_pinned_model_that_was_exchanged_since_the_run_began(folder):
    settings = {"weights": str(folder), "sha256": weights_hash(folder), "config_sha256": ""}
    check_pinned("sparank", str(folder), settings)
    (folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(InputError) as caught:
        check_pinned("sparank", str(folder), settings)
    assert caught.value.code == "pinned_model_changed"
    # What is made here of a pinned checkpoint has a hash of its own, and without a pin there is nothing to compare.
    check_pinned("spafoundation", "results/models/spafoundation", settings)
    check_pinned("sparank", str(folder), {**settings, "sha256": ""})
