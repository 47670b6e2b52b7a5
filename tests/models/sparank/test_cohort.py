"""From files to a gate and back: the cohort teaches it, a sample's tiles use it; without one nothing changes."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from models.sparank import test_fusion as toy
from tissuemake.contracts import EMBEDDINGS, GATE, PROPORTIONS, read_table, write_anndata
from tissuemake.device import given_device
from tissuemake.errors import InputError
from tissuemake.models.curve import Curve
from tissuemake.models.schedule import Schedule
from tissuemake.models.sparank import cohort
from tissuemake.models.sparank.cohort import read_images, teach_gate
from tissuemake.models.sparank.deconvolve import deconvolve_sparank
from tissuemake.models.sparank.thin_sections import Distillation
from tissuemake.models.store import save_model

GENES = [f"GENE{i}" for i in range(toy.GENES)]
TYPES = [f"type {i}" for i in range(toy.TYPES)]
PLAN = Distillation(
    spots=32,
    least_depth=20,
    least_panel=20,
    schedule=Schedule(steps=12, validate_every=6, learning_rate=2e-3),
)


def write_sample(
    folder: Path, name: str, *, spots: int = 40, tiles: int | None = None, encoder: str = "color"
):
    """A filtered sample of a toy section and the embeddings of its first `tiles` spots, in another order."""
    section, _ = toy.section(name, len(name), spots=spots)
    barcodes = [f"{name}-{i}" for i in range(spots)]
    sample = ad.AnnData(
        sp.csr_matrix(section.counts.numpy()),
        obs=pd.DataFrame(index=barcodes),
        var=pd.DataFrame({"gene_id": ""}, index=GENES),
        obsm={"spatial": np.zeros((spots, 2))},
        uns={"tissuemake": {"sample": name, "donor": f"donor of {name}", "organism": "human"}},
    )
    sample.write_h5ad(folder / f"{name}.h5ad")
    order = np.arange(spots if tiles is None else tiles)[::-1]
    embedded = ad.AnnData(
        section.images.numpy()[order],
        obs=pd.DataFrame(
            {"kind": "spot", "x": 0.0, "y": 0.0, "size_um": 112.0}, index=[barcodes[i] for i in order]
        ),
        uns={"tissuemake": {"encoder": encoder}},
    )
    write_anndata(embedded, folder / f"{name}.{encoder}.h5ad", EMBEDDINGS)
    return folder / f"{name}.h5ad", folder / f"{name}.{encoder}.h5ad"


def untaught():
    """Weights and config of a model of the toy atlas without a gate."""
    network, reference = toy.network(), toy.reference()
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    state["reference.signature"] = reference.signature
    config = {
        "kind": "sparank",
        "architecture": network.architecture.as_dict(),
        "types": TYPES,
        "genes": GENES,
        "gene_ids": [""] * len(GENES),
        "medians": reference.medians.tolist(),
        "intervals": [[1.0] * 4] * 7,
        "organism": "human",
        "reference": "toy",
    }
    return network, reference, state, config


def taught(folder: Path, sections: list, seed: int = 0):
    network, reference, state, config = untaught()
    return teach_gate(
        network, reference, sections, state, config, folder / "checkpoints", given_device(0), seed, plan=PLAN
    )


def save(folder: Path, state: dict, config: dict) -> Path:
    curve = Curve(0, "cpu", "32-true")
    curve.add(step=1, train_loss=1.0, valid_loss=1.0, learning_rate=1e-3, seconds=1.0)
    save_model(folder, state, config, "a card", curve)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    sections = [
        write_sample(folder, "one"),
        write_sample(folder, "three"),
        write_sample(folder, "dark", tiles=0),
    ]
    state, config = taught(folder, sections)
    return save(folder / "model", state, config), config


def proportions(model, filtered, output, **options):
    deconvolve_sparank(filtered, model, output, **options)
    return read_table(output, PROPORTIONS)


def test_config_says_what_taught_the_gate(model):
    images = model[1]["images"]
    assert images["encoder"] == "color" and images["features"] == toy.FEATURES
    assert list(images["sections"]) == ["one", "three"]  # not the one without a tile
    assert all(len(files["filtered"]) == 64 for files in images["sections"].values())
    assert not list(model[0].parent.glob("checkpoints/gate/*"))


def test_spots_with_a_tile_have_a_gate_below_one_and_the_others_are_untouched(model, tmp_path):
    filtered, embeddings = write_sample(tmp_path, "fresh", tiles=25)
    plain = proportions(model[0], filtered, tmp_path / "plain.parquet")
    fused = proportions(model[0], filtered, tmp_path / "fused.parquet", embeddings=embeddings)
    assert GATE not in plain and fused[GATE].between(0, 1).all()
    assert (fused[GATE][:25] < 1).all() and (fused[GATE][25:] == 1).all()
    pd.testing.assert_frame_equal(plain[25:], fused[25:].drop(columns=GATE))
    assert np.abs(plain[TYPES] - fused[TYPES])[:25].to_numpy().max() > 1e-3


def test_without_a_gate_embeddings_change_nothing(tmp_path):
    _, _, state, config = untaught()
    model = save(tmp_path / "model", state, config)
    filtered, embeddings = write_sample(tmp_path, "fresh")
    plain = proportions(model, filtered, tmp_path / "a.parquet")
    given = proportions(model, filtered, tmp_path / "b.parquet", embeddings=embeddings)
    pd.testing.assert_frame_equal(plain, given)


def test_a_tile_goes_to_its_own_spot(model, tmp_path):
    """Written in reverse order, they must not be taken by position."""
    filtered, embeddings = write_sample(tmp_path, "fresh", tiles=25)
    images, seen = read_images(embeddings, ad.read_h5ad(filtered).obs_names, model[1]["images"])
    section, _ = toy.section("fresh", len("fresh"), spots=40)
    assert torch.equal(images[:25], section.images[:25]) and seen.tolist() == [True] * 25 + [False] * 15


def test_a_sample_of_which_nothing_has_a_tile_is_answered_by_its_counts(model, tmp_path):
    filtered, embeddings = write_sample(tmp_path, "fresh", tiles=0)
    given = proportions(model[0], filtered, tmp_path / "a.parquet", embeddings=embeddings)
    pd.testing.assert_frame_equal(given, proportions(model[0], filtered, tmp_path / "b.parquet"))


def test_other_encoders_and_missing_images_are_refused(model, tmp_path):
    filtered, embeddings = write_sample(tmp_path, "fresh", encoder="uni")
    with pytest.raises(InputError, match="'uni'") as caught:
        deconvolve_sparank(filtered, model[0], tmp_path / "p.parquet", embeddings=embeddings)
    assert caught.value.code == "wrong_encoder"
    with pytest.raises(InputError) as caught:
        taught(tmp_path, [write_sample(tmp_path, "one"), (filtered, embeddings)])
    assert caught.value.code == "mixed_encoders"
    with pytest.raises(InputError) as caught:
        taught(tmp_path, [write_sample(tmp_path, "dark", tiles=0)])
    assert caught.value.code == "no_sections"


def test_of_a_large_section_a_part_teaches(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(cohort, "MOST_SPOTS", 15)
    train = cohort.train_gate
    monkeypatch.setattr(
        cohort, "train_gate", lambda *given, **options: seen.extend(given[2]) or train(*given, **options)
    )
    taught(tmp_path, [write_sample(tmp_path, "one"), write_sample(tmp_path, "three", tiles=10)])
    assert [len(section.counts) for section in seen] == [15, 10]
    assert [section.donor for section in seen] == ["donor of one", "donor of three"]
