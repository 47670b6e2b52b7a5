"""From a prepared atlas to a model folder: donors kept apart, one seed one model, nothing written on an error."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from models.sparank import tiny
from tissuemake.contracts import REFERENCE, read_anndata
from tissuemake.errors import InputError
from tissuemake.files import read_json
from tissuemake.models.sparank import pretrain
from tissuemake.models.sparank.atlas import split_donors
from tissuemake.models.sparank.pretrain import pretrain_sparank
from tissuemake.models.sparank.train import Tutor
from tissuemake.models.store import FILES, load_model, weights_hash

BRIEF = replace(tiny.PRESET, schedule=replace(tiny.PRESET.schedule, steps=4, validate_every=2), spots=12)


def trained(folder: Path, prepared, name="model", seed=0, custom=BRIEF, **options) -> Path:
    options = {"checkpoints": folder / f"{name}-checkpoints", **options}
    pretrain_sparank(*prepared, folder / name, seed=seed, custom=custom, **options)
    return folder / name


def test_the_folder_says_what_the_model_is(tiny_model, prepared):
    assert {path.name for path in tiny_model.iterdir()} == set(FILES)
    config = read_json(tiny_model / "config.json")
    assert config["types"] == tiny.TYPES and len(config["genes"]) == tiny.PRESET.genes
    assert config["gene_ids"] == [tiny.IDS[tiny.GENES.index(gene)] for gene in config["genes"]]
    assert config["reference"] == "toy" and config["organism"] == "human"
    assert config["held_out"] == "60 cells of held-out donors"
    assert len(config["intervals"]) == 7 and min(map(min, config["intervals"])) > 0
    state, _ = load_model(tiny_model, "sparank")
    network = {name: value for name, value in state.items() if name.startswith("network.")}
    assert config["parameters"] == sum(value.numel() for value in network.values())
    assert set(state) - set(network) == {"reference.signature"}
    card = (tiny_model / "README.md").read_text()
    assert "90% interval coverage, simulated from 60 cells of held-out donors" in card
    assert not (tiny_model.parent / "checkpoints").exists()


def test_the_reference_of_the_model_is_that_of_all_cells(tiny_model, prepared):
    state, config = load_model(tiny_model, "sparank")
    atlas = read_anndata(prepared[0], REFERENCE)
    counts = atlas.X.toarray()
    profile = counts / counts.sum(1, keepdims=True) * 1e4
    chosen = atlas.var_names.get_indexer(config["genes"])
    mean = profile[(atlas.obs["cell_type"] == "tumour").to_numpy()].mean(0)[chosen]
    np.testing.assert_allclose(state["reference.signature"][:, 4], mean, rtol=1e-4)


def test_training_improves_the_answer(tiny_model):
    losses = pd.read_parquet(tiny_model / "training.parquet")["valid_loss"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_one_seed_is_one_model(prepared, tmp_path):
    one, again, other = (
        trained(tmp_path, prepared, name, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert weights_hash(one) == weights_hash(again) != weights_hash(other)
    assert (one / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    assert read_json(one / "config.json") == read_json(again / "config.json")


def test_the_global_generators_play_no_part(prepared, tmp_path):
    for name, seed in (("a", 11), ("b", 12)):
        torch.manual_seed(seed)
        np.random.seed(seed)
        trained(tmp_path, prepared, name)
    assert weights_hash(tmp_path / "a") == weights_hash(tmp_path / "b")


def test_cells_of_held_out_donors_are_never_trained_on(tmp_path, monkeypatch):
    """A gene that only their cells express: neither training spots nor any signature shown in training has it."""
    cells, seed = tiny.atlas(), 0
    plain = read_anndata(tiny.prepare(cells, tmp_path / "plain")[0], REFERENCE)
    held_out = split_donors(plain, seed)[1]
    planted = cells.X.toarray()
    planted[:, 3] = np.where(held_out, 200, 0)
    cells.X = type(cells.X)(planted)
    prepared = tiny.prepare(cells, tmp_path / "planted")
    seen = {}

    def watched(taught, examined, reference, shown, *given, **options):
        seen.update(taught=taught, examined=examined, references=[reference, shown])
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrain, "train_network", watched)
    whole = replace(BRIEF, genes=len(tiny.GENES))
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, prepared, custom=whole, seed=seed)
    gene = read_anndata(prepared[0], REFERENCE).var_names.get_loc("GENE3")
    assert not seen["taught"].counts[:, gene].any() and (seen["examined"].counts[:, gene] == 200).all()
    assert len(seen["taught"].counts) + len(seen["examined"].counts) == len(held_out)
    assert not any(reference.signature[gene].any() for reference in seen["references"])


def test_a_killed_training_goes_on_to_the_same_model(prepared, tmp_path, monkeypatch):
    """Stopped when the network is trained and the intervals are not yet fitted."""
    with monkeypatch.context() as patch:
        patch.setattr(pretrain, "fit_intervals", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path, prepared, "killed")
    assert not (tmp_path / "killed").exists() and list((tmp_path / "killed-checkpoints").iterdir())
    resumed, whole = trained(tmp_path, prepared, "killed"), trained(tmp_path, prepared, "whole")
    assert weights_hash(resumed) == weights_hash(whole)
    assert not (tmp_path / "killed-checkpoints").exists()


def test_an_unknown_preset_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(InputError, match="'huge'") as caught:
        pretrain_sparank(
            tmp_path / "none", tmp_path / "none", tmp_path / "m", preset="huge", checkpoints=tmp_path
        )
    assert caught.value.code == "unknown_preset" and "tiny, small, base" in caught.value.remedy


def test_without_its_gpu_nothing_is_trained(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError) as caught:
        trained(tmp_path, prepared, gpus=1)
    assert caught.value.code == "gpu_not_visible" and not (tmp_path / "model").exists()


@pytest.mark.parametrize("changes", [{"head": "fixed", "tokens": 24}, {"values": "log"}])
def test_twins_train_too(prepared, tmp_path, changes):
    custom = replace(BRIEF, architecture=replace(BRIEF.architecture, **changes))
    folder = trained(tmp_path, prepared, custom=custom)
    config = read_json(folder / "config.json")
    assert config["architecture"] | changes == config["architecture"]


def test_one_donor_is_said_in_the_card(tmp_path):
    prepared = tiny.prepare(tiny.atlas(donors=1, cells=15), tmp_path / "one")
    folder = trained(tmp_path, prepared)
    assert read_json(folder / "config.json")["held_out"] == "15 cells of the training donors"


@pytest.mark.parametrize(("patience", "step"), [(0, 4), (3, 2)])
def test_a_short_training_ends_with_its_last_weights(prepared, tmp_path, monkeypatch, patience, step):
    """Validation says that the first weights were the best: only a training that may stop early takes them."""
    monkeypatch.setattr(
        Tutor, "validation_step", lambda self, *batch: self.log("valid_loss", float(self.step), batch_size=1)
    )
    custom = replace(BRIEF, schedule=replace(BRIEF.schedule, patience=patience))
    folder = trained(tmp_path, prepared, custom=custom)
    assert f"weights of step {step}" in (folder / "README.md").read_text()
