"""Fine-tuning: only the last layers move, expression is learnt, and the result is an encoder as any other."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

from models.histology_heads.sections_with_genes import write_section
from tissuemake.errors import InputError
from tissuemake.histology.tile_store import write_tiles
from tissuemake.models.curve import Curve
from tissuemake.models.histology_heads.cohort_genes import cohorts, read_slides
from tissuemake.models.histology_heads.finetune import finetune_expression
from tissuemake.models.histology_heads.ridge import SECTION, expression_directions
from tissuemake.models.schedule import Schedule
from tissuemake.models.spafoundation.architecture import Architecture
from tissuemake.models.spafoundation.encode import embed_spafoundation, load_encoder
from tissuemake.models.spafoundation.network import build_backbone
from tissuemake.models.spot_vectors import read_spot_vectors
from tissuemake.models.store import load_model, save_model

SHAPE = Architecture(width=24, layers=3, heads=2, patch=8, image_px=16)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Two sections whose tiles are coloured by their vectors, and an untrained encoder."""
    folder = tmp_path_factory.mktemp("finetune")
    sections = []
    for seed, donor in enumerate("AB"):
        filtered, embeddings = write_section(folder, f"s{seed}", donor=donor, seed=seed)
        tiles = ad.read_h5ad(embeddings)
        colour = np.clip(128 + 60 * tiles.X[:, :3], 0, 255).astype(np.uint8)
        pictures = np.broadcast_to(colour[:, None, None], (len(colour), 16, 16, 3))
        write_tiles(
            folder / f"s{seed}.arrow",
            pd.DataFrame(index=tiles.obs_names),
            list(np.ascontiguousarray(pictures)),
        )
        sections.append((filtered, embeddings, folder / f"s{seed}.arrow"))
    torch.manual_seed(0)
    config = {
        "kind": "spafoundation",
        "architecture": SHAPE.as_dict(),
        "mean": [0.5] * 3,
        "sd": [0.25] * 3,
        "pooling": "cls_mean",
        "looks": 1,
        "preset": "toy",
    }
    curve = Curve(seed=0, device="cpu", precision="32-true")
    curve.add(step=1, train_loss=1.0, valid_loss=1.0, learning_rate=0.1, seconds=1.0)
    save_model(folder / "untrained", build_backbone(SHAPE).state_dict(), config, "", curve)
    schedule = Schedule(steps=60, learning_rate=3e-3, validate_every=20)
    finetune_expression(
        sections,
        folder / "untrained",
        folder / "tuned",
        checkpoints=folder / "checkpoints",
        layers=1,
        schedule=schedule,
    )
    return folder, sections


def test_layers_below_stand_still_and_the_last_one_learns(cohort):
    folder, _ = cohort
    (before, _), (after, config) = (load_model(folder / name) for name in ("untrained", "tuned"))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all("layers.2." in name or name.startswith("layernorm") for name in moved)
    assert config["fine_tuned"]["donors"] == {"s0": "A", "s1": "B"}


def test_it_learns_expression_that_holds_on_the_section_it_stops_by(cohort):
    folder, sections = cohort
    loss = pd.read_parquet(folder / "tuned" / "training.parquet")["valid_loss"]
    whole = cohorts(read_slides([pair[:2] for pair in sections]))[0]
    target = expression_directions(whole.sections(whole.variable()), SECTION)
    nothing_said = np.square(target[144:]).mean()
    assert loss.min() < 0.8 * nothing_said


def test_the_result_encodes_tiles_as_any_other_model(cohort):
    folder, _ = cohort
    tiles = np.random.default_rng(0).integers(0, 255, (5, 16, 16, 3), dtype=np.uint8)
    old, new = (load_encoder(folder / name).encode(tiles, 1.0) for name in ("untrained", "tuned"))
    assert old.shape == new.shape and not np.allclose(old, new)


def test_embeddings_name_the_donors_that_taught_and_no_head_is_scored_on_them(cohort, tmp_path):
    folder, sections = cohort
    filtered, _, tiles = sections[0]
    for model, taught in (("untrained", False), ("tuned", True)):
        found = tmp_path / f"{model}.h5ad"
        embed_spafoundation(tiles, folder / model, found)
        record = ad.read_h5ad(found).uns["tissuemake"]
        assert record.get("fine_tuned_on") == ({"s0": "A", "s1": "B"} if taught else None)
        assert read_spot_vectors(filtered, found).encoder_saw_donor == taught


def test_what_taught_an_encoder_before_is_not_forgotten(cohort, tmp_path):
    folder, sections = cohort
    filtered, embeddings = write_section(tmp_path, "s2", donor="C", seed=0)
    finetune_expression(
        [(filtered, embeddings, sections[0][2])],
        folder / "tuned",
        tmp_path / "again",
        checkpoints=tmp_path / "checkpoints",
        layers=1,
        schedule=Schedule(steps=2, learning_rate=1e-3, validate_every=1),
    )
    config = load_model(tmp_path / "again")[1]
    assert config["fine_tuned"]["donors"] == {"s0": "A", "s1": "B", "s2": "C"}


def test_organisms_are_not_mixed(cohort):
    folder, sections = cohort
    mouse = write_section(folder, "mouse", donor="M", seed=4, organism="mouse")
    with pytest.raises(InputError) as caught:
        finetune_expression(
            [*sections, (*mouse, sections[0][2])],
            folder / "untrained",
            folder / "no",
            checkpoints=folder / "c",
        )
    assert caught.value.code == "mixed_organisms"
