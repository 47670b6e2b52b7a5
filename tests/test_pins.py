"""A pinned model is the one that was pinned: what is printed pins it, and any other is refused by name."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tissuemake.configuration import complete_config
from tissuemake.errors import InputError
from tissuemake.files import sha256
from tissuemake.pins import check_pinned_heads, check_pins, config_lines, model_folders


def model(folder: Path, kind: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(folder.name.encode())
    (folder / "config.json").write_text(json.dumps({"kind": kind}))
    return folder


@pytest.fixture
def run(tmp_path) -> Path:
    """A run that trained models of which two are of one kind, with an unfinished one beside them."""
    models = tmp_path / "results" / "models"
    for name in ("sagefm", "sparank-brain", "sparank-breast", "expression-color", "annotation-sagefm"):
        model(models / name, name.split("-")[0])
    (models / "quadflow").mkdir()
    (models / "quadflow" / "model.safetensors").write_bytes(b"half")
    return tmp_path


def printed(run: Path) -> dict:
    return yaml.safe_load("\n".join(config_lines(model_folders(run))))


def test_what_is_printed_is_a_config_that_pins_every_whole_model(run):
    config = complete_config(printed(run))
    settings = config["models"]["sagefm"]
    assert settings["weights"] == str(run / "results" / "models" / "sagefm")
    assert settings["sha256"] == sha256(Path(settings["weights"]) / "model.safetensors")
    assert settings["config_sha256"] == sha256(Path(settings["weights"]) / "config.json")
    assert config["histology"]["heads"] == str(run / "results" / "models")
    assert config["models"]["quadflow"]["weights"] == "pretrain"
    check_pins(config["models"])
    check_pinned_heads(config["histology"])


def test_heads_are_pinned_file_by_file(run):
    histology = complete_config(printed(run))["histology"]
    (run / "results" / "models" / "expression-color" / "config.json").write_text("{}")
    with pytest.raises(InputError) as raised:
        check_pinned_heads(histology)
    assert raised.value.code == "pinned_model_changed"
    assert "head expression-color changed: " in raised.value.message
    with pytest.raises(InputError) as raised:
        check_pinned_heads({**histology, "heads": ""})
    assert raised.value.code == "pin_without_weights"


def test_the_config_has_room_for_one_model_of_a_kind_and_the_others_stay_readable(run):
    assert printed(run)["models"]["sparank"]["weights"].endswith("sparank-brain")
    lines = config_lines(model_folders(run))
    assert any(line.startswith("  # or sparank: {") and "sparank-breast" in line for line in lines)
    assert any(line.startswith("# annotation-sagefm is not pinned") for line in lines)


def test_a_copy_of_a_model_is_that_model(run, tmp_path):
    settings = printed(run)["models"]["sagefm"]
    copy = shutil.copytree(settings["weights"], tmp_path / "copy")
    check_pins({"sagefm": {**settings, "weights": str(copy)}})


@pytest.mark.parametrize(("file", "key"), [("model.safetensors", "sha256"), ("config.json", "config_sha256")])
def test_a_changed_file_is_named_with_both_hashes(run, file, key):
    settings = printed(run)["models"]["sagefm"]
    path = Path(settings["weights"]) / file
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(InputError) as raised:
        check_pins({"sagefm": settings})
    assert raised.value.code == "pinned_model_changed"
    said = raised.value.message
    assert all(part in said for part in ("sagefm", str(path), sha256(path), settings[key], f"sagefm.{key} "))


def refused(settings: dict) -> str:
    with pytest.raises(InputError) as raised:
        check_pins({"spafoundation": {"sha256": "0" * 64, "config_sha256": "", **settings}})
    return raised.value.code


def test_pins_that_cannot_hold_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "published.pth").write_bytes(b"other")
    assert refused({"weights": "pretrain"}) == "pin_without_weights"
    assert refused({"weights": "owner/name"}) == "pin_without_revision"
    assert refused({"weights": str(tmp_path / "empty")}) == "missing_pinned_file"
    assert refused({"weights": str(tmp_path / "published.pth")}) == "pinned_model_changed"
    # The files of a model of the hub are here only once a job has asked for them.
    check_pins({"spafoundation": {"weights": "owner/name@1f0c", "sha256": "0" * 64, "config_sha256": ""}})


def test_a_hash_is_64_hexadecimal_digits():
    with pytest.raises(InputError) as raised:
        complete_config({"models": {"sagefm": {"weights": "folder", "sha256": "abc"}}})
    assert "models.sagefm.sha256 is 'abc'" in raised.value.message


def test_weights_in_the_run_are_named_from_it(tmp_path, monkeypatch):
    """So that pinning a model that a run has made, by its absolute path, changes no parameter of a job."""
    monkeypatch.chdir(tmp_path)
    inside, outside = tmp_path / "results" / "models" / "sagefm", tmp_path.parent / "elsewhere"
    given = complete_config(
        {"models": {"sagefm": {"weights": str(inside)}, "quadflow": {"weights": str(outside)}}}
    )
    assert given["models"]["sagefm"]["weights"] == "results/models/sagefm"
    assert given["models"]["quadflow"]["weights"] == str(outside)


def test_every_job_that_loads_a_model_looks_at_its_pin():
    scripts = (Path(__file__).parents[1] / "workflow" / "scripts").glob("*.py")
    texts = {path.name: path.read_text() for path in scripts}
    loading = [name for name, text in texts.items() if "snakemake.params.model" in text]
    assert len(loading) >= 6
    assert not [name for name in loading if "check_pinned(" not in texts[name]]
    assert all(
        "check_pinned_heads(" in texts[f"{name}.py"] for name in ("detect_tumor", "predict_expression")
    )
