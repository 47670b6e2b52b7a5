"""From tile files to a model folder and to vectors; what cannot be trained is refused with its counts."""

from dataclasses import replace

import anndata as ad
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import ViTModel

from models.spafoundation.toy_cohort import TOY, write_slide
from tissuemake.errors import InputError
from tissuemake.files import read_json
from tissuemake.histology.tile_store import TileStore
from tissuemake.models.spafoundation import cohort, pretrain
from tissuemake.models.spafoundation.cohort import CohortTiles, choose_rows
from tissuemake.models.spafoundation.collapse import WATCHED
from tissuemake.models.spafoundation.encode import embed_spafoundation, load_encoder
from tissuemake.models.spafoundation.pretrain import pretrain_spafoundation

SMALLER = replace(TOY, valid_tiles=16)


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    return [write_slide(folder / name / "tiles.arrow", 60, seed) for seed, name in enumerate(("S1", "S2"))]


@pytest.fixture(scope="module")
def model(slides, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    pretrain_spafoundation(
        slides,
        folder / "model",
        seed=0,
        checkpoints=folder / "checkpoints",
        donors=["a", "b"],
        custom=SMALLER,
    )
    assert not (folder / "checkpoints").exists()
    return folder / "model"


def test_a_model_says_what_it_is_and_transformers_opens_it(model):
    config = read_json(model / "config.json")
    assert config["kind"] == "spafoundation" and config["image_size"] == 32 and config["patch_size"] == 8
    assert config["tiles"] == 108 and "12 tiles: held-out tiles" in config["held_out"]
    assert config["mpp"] == pytest.approx(112 / 32) and len(config["mean"]) == len(config["sd"]) == 3
    curve = pq.read_table(model / "training.parquet")
    assert set(WATCHED) <= set(curve.column_names) and curve.num_rows == 3
    card = (model / "README.md").read_text()
    assert "S1/tiles.arrow" in card and "effective_rank" in card
    theirs = ViTModel.from_pretrained(model, add_pooling_layer=False, use_mask_token=True)
    ours = load_encoder(model).network.backbone
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


def test_vectors_are_those_of_the_tiles(model, slides, tmp_path):
    embed_spafoundation(slides[0], model, tmp_path / "vectors.h5ad")
    vectors = ad.read_h5ad(tmp_path / "vectors.h5ad")
    encoder = load_encoder(model)
    with TileStore(slides[0]) as store:
        pixels = store.pixels([7])
    np.testing.assert_allclose(vectors.X[7], encoder.encode(pixels, 2.8)[0], atol=1e-5)
    facts = vectors.uns["tissuemake"]
    assert facts["encoder"] == "spafoundation" and len(facts["weights_sha256"]) == 64
    assert "slides it was trained on" in facts["licence"]
    assert vectors.X.std(0).mean() > 0.01


def test_tiles_read_from_their_files_are_those_in_memory(slides):
    row, slide = np.array([3, 5, 1]), np.array([1, 0, 1])
    kept, read = (CohortTiles(slides, slide, row, 32, keep) for keep in (True, False))
    assert kept.in_memory and not read.in_memory
    positions = torch.tensor([2, 0, 0])
    assert torch.equal(kept(positions), read(positions))
    assert not torch.equal(kept(positions)[0], kept(positions)[1])


def test_more_tiles_than_memory_are_read_while_training(slides, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain, "BYTES_IN_MEMORY", 1000)
    monkeypatch.setattr(pretrain, "READERS", 1)
    short = replace(SMALLER, schedule=replace(TOY.schedule, steps=2, validate_every=2))
    pretrain_spafoundation(slides, tmp_path / "model", checkpoints=tmp_path / "c", custom=short)
    assert load_encoder(tmp_path / "model").features


def test_a_donor_is_held_out_where_there_are_four(tmp_path):
    paths = [write_slide(tmp_path / f"S{n}" / "tiles.arrow", 40, n) for n in range(4)]
    donors = ["a", "b", "c", "d"]
    rows = choose_rows(paths, donors, 12, 10, seed=0)
    theirs = np.array(donors)[rows.slide] == rows.by_donor
    assert np.array_equal(theirs, rows.held_out) and theirs.sum() == 12 and len(rows.row) == 132
    few = choose_rows(paths[:3], donors[:3], 12, 10, seed=0)
    assert few.by_donor == "" and few.held_out.sum() == 12 and len(few.row) == 120


def test_too_few_tiles_no_cohort_and_unknown_presets_are_refused(tmp_path):
    half = [number % 2 == 0 for number in range(40)]
    path = write_slide(tmp_path / "S1" / "tiles.arrow", 40, 0, usable=half)
    for given, code, said in (([path], "too_few_tiles", "S1 20"), ([], "no_cohort", "no sample")):
        with pytest.raises(InputError, match=said) as refused:
            pretrain_spafoundation(given, tmp_path / "m", checkpoints=tmp_path / "c", custom=TOY)
        assert refused.value.code == code
    with pytest.raises(InputError, match="huge"):
        pretrain_spafoundation([path], tmp_path / "m", checkpoints=tmp_path / "c", preset="huge")
    assert cohort.DONORS_TO_HOLD_OUT == 4


def test_weights_that_are_not_those_of_the_config_are_refused(model, tmp_path):
    from tissuemake.models.curve import Curve
    from tissuemake.models.store import save_model

    config = {k: v for k, v in read_json(model / "config.json").items() if k not in ("format", "weights")}
    save_model(tmp_path, {"layernorm.weight": torch.ones(32)}, config, "card", Curve(0, "cpu", "32-true"))
    with pytest.raises(InputError, match="not those of the network"):
        load_encoder(tmp_path)
