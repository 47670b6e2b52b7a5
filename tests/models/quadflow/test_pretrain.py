"""From a cohort's files to a model folder, and what it says of a slide that it never saw."""

from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from models.quadflow.toy_slides import FEATURES, OTHERS, PER_SET, QUICK, SETS, slide, write_gene_sets, written
from tissuemake.contracts import (
    EMBEDDINGS,
    FILTERED,
    IMPUTED,
    PATHWAY_ATTENTION,
    PATHWAYS,
    read_anndata,
    read_table,
    write_anndata,
    write_table,
)
from tissuemake.errors import InputError
from tissuemake.evaluation.metrics import pearson
from tissuemake.models.quadflow import train
from tissuemake.models.quadflow.architecture import PRESETS, Flows, Weights
from tissuemake.models.quadflow.predict import load_quadflow, predict_pathways
from tissuemake.models.quadflow.pretrain import pretrain_quadflow
from tissuemake.models.store import load_model, weights_hash

check = train.Teacher.validation_step


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("quadflow")


@pytest.fixture(scope="module")
def sets(folder):
    return write_gene_sets(folder)


@pytest.fixture(scope="module")
def taught(folder):
    return [written(folder, f"taught{seed}", slide(seed)) for seed in (0, 1)]


@pytest.fixture(scope="module")
def asked(folder):
    return written(folder, "asked", slide(5))


def teach(folder, name, taught, sets, **options):
    options = {"custom": QUICK, "checkpoints": folder / f"{name} checkpoints"} | options
    columns = ([paths[i] for paths in taught] for i in range(3))
    pretrain_quadflow(*columns, sets, folder / name, **options)
    return folder / name


@pytest.fixture(scope="module")
def model(folder, taught, sets):
    return teach(folder, "model", taught, sets)


@pytest.fixture(scope="module")
def predicted(folder, model, asked):
    outputs = [folder / "asked" / name for name in ("quadflow.parquet", "genes.h5ad", "attention.parquet")]
    predict_pathways(asked[1], model, *outputs, filtered=asked[0])
    return outputs


def test_pathways_that_the_image_shows_are_found_on_another_slide(predicted, asked):
    said, truth = read_table(predicted[0], PATHWAYS), read_table(asked[2], PATHWAYS)
    assert list(said) == list(SETS) and (said.index == truth.index).all()
    found = dict(zip(SETS, pearson(said.to_numpy(), truth.to_numpy()), strict=True))
    assert found["SHOWN"] > 0.7 and found["ROUND"] > 0.7
    assert abs(found["UNSEEN"]) < 0.3
    # On the scale of the measured scores, and not collapsed.
    assert np.abs(said.mean() - truth.mean()).max() < 0.3
    share = said.var() / truth.var()
    assert share[["SHOWN", "ROUND"]].between(0.5, 1.5).all()


def test_genes_are_read_through_their_sets(predicted, asked):
    genes = read_anndata(predicted[1], IMPUTED)
    assert (genes.obs_names == read_table(asked[2], PATHWAYS).index).all()
    assert genes.var["measured"].all()
    member = np.array([int(name[1:]) // PER_SET for name in genes.var_names])
    r = genes.var["held_out_r"].to_numpy()
    assert np.median(r[member < 2]) > 0.4
    assert np.median(r[member == 2]) < 0.25


def test_attention_names_pathways_and_patches(predicted, asked):
    table = pd.read_parquet(predicted[2])
    assert set(table["kind"]) == {"pathway", "patch", "signature"}
    between = table[table["kind"] == "pathway"]
    assert len(between) == len(SETS) ** 2 and set(between["other"]) == set(SETS)
    patches = table[table["kind"] == "patch"]
    assert patches["other"].str.startswith("spot").all()
    assert np.isclose(between.groupby("pathway")["weight"].mean(), 1, atol=1e-4).all()
    assert (patches.groupby("pathway")["weight"].first() >= 1).all()
    truth = read_table(asked[2], PATHWAYS)["SHOWN"]
    best = table[(table["kind"] == "signature") & (table["pathway"] == "SHOWN")]["other"]
    assert truth[best].mean() > truth.mean() + truth.std() / 2


def test_the_image_alone_gives_the_same_map(folder, model, asked, predicted):
    predict_pathways(asked[1], model, folder / "alone.parquet", folder / "alone.h5ad")
    alone = read_table(folder / "alone.parquet", PATHWAYS)
    pd.testing.assert_frame_equal(alone, read_table(predicted[0], PATHWAYS), rtol=1e-4, atol=1e-4)
    assert read_anndata(folder / "alone.h5ad", IMPUTED).var["held_out_r"].isna().all()


def test_a_slide_without_scale_is_refused(folder, model, asked):
    tiles = read_anndata(asked[1], EMBEDDINGS)
    write_anndata(tiles[tiles.obs["kind"] == "spot"].copy(), folder / "spots.h5ad", EMBEDDINGS)
    with pytest.raises(InputError, match="µm") as caught:
        predict_pathways(folder / "spots.h5ad", model, folder / "none.parquet")
    assert caught.value.code == "missing_scale"
    predict_pathways(folder / "spots.h5ad", model, folder / "some.parquet", microns_per_pixel=0.5)
    assert len(read_table(folder / "some.parquet", PATHWAYS)) == 169


def test_bins_share_the_tile_that_they_lie_on(folder, model, asked):
    tiles = read_anndata(asked[1], EMBEDDINGS)
    grid = folder / "grid.h5ad"
    write_anndata(tiles[tiles.obs["kind"] == "grid"].copy(), grid, EMBEDDINGS)
    spots = read_anndata(asked[0], FILTERED)
    cells = ad.concat([spots, spots], index_unique="-", uns_merge="first", merge="first")
    cells.obsm["spatial"] = cells.obsm["spatial"] + 150.0
    cells.write_h5ad(folder / "cells.h5ad")
    predict_pathways(grid, model, folder / "cells.parquet", filtered=folder / "cells.h5ad")
    table = read_table(folder / "cells.parquet", PATHWAYS)
    assert len(table) == 2 * 169
    both = table.iloc[:169].to_numpy(), table.iloc[169:].to_numpy()
    np.testing.assert_array_equal(*both)


def test_who_taught_is_not_called_held_out(folder, model, taught, predicted):
    predict_pathways(taught[0][1], model, folder / "own.parquet", folder / "own.h5ad", filtered=taught[0][0])
    assert read_table(folder / "own.parquet", PATHWAYS).attrs["tissuemake"]["pretrained_on_this_donor"]
    assert read_anndata(folder / "own.h5ad", IMPUTED).var["held_out_r"].isna().all()
    other = read_table(predicted[0], PATHWAYS).attrs["tissuemake"]
    assert not other["pretrained_on_this_donor"] and other["weights_sha256"] == weights_hash(model)


def test_the_same_seed_gives_the_same_weights_and_checkpoints_go(folder, model, taught, sets):
    again = teach(folder, "again", taught, sets)
    assert weights_hash(again) == weights_hash(model)
    assert not (folder / "again checkpoints").exists()
    other = teach(folder, "other", taught, sets, seed=1)
    assert weights_hash(other) != weights_hash(model)


def test_a_killed_run_goes_on_from_its_checkpoint(folder, model, taught, sets, monkeypatch):
    class Killed(Exception):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    steps = []
    loss = train.Teacher.training_step
    monkeypatch.setattr(
        train.Teacher, "training_step", lambda self, *rest: steps.append(self.step) or loss(self, *rest)
    )
    with monkeypatch.context() as patch:
        patch.setattr(
            train.Teacher,
            "validation_step",
            lambda self, *rest: kill() if self.step > 20 else check(self, *rest),
        )
        with pytest.raises(Killed):
            teach(folder, "killed", taught, sets)
    assert (folder / "killed checkpoints").is_dir() and steps[-1] == 39
    where = teach(folder, "killed", taught, sets)
    assert steps[40:] == list(range(20, 40)), "only what was lost is taught again"
    assert weights_hash(where) == weights_hash(model)


def test_a_gene_outside_all_sets_is_heard_through_the_free_say_alone(folder, taught, sets, asked):
    strict = replace(QUICK, architecture=replace(QUICK.architecture, free=0))
    closed = teach(folder, "closed", taught, sets, custom=strict, flows=["patches_to_patches"])
    network = load_quadflow(closed)
    outside = np.array([int(name[1:]) >= PER_SET * len(SETS) for name in network.genes.index])
    assert outside.sum() == OTHERS
    weights = network.model.gene_layer.weights
    assert (weights[:-1][:, outside] == 0).all() and (weights[:-1][:, ~outside] != 0).any(dim=0).all()
    assert network.model.gene_layer.up.numel() == 0
    assert network.model.network.shape.flows == Flows(False, False, False, True)
    assert load_quadflow(folder / "model").model.gene_layer.up.shape[0] == QUICK.architecture.free


def test_without_the_flow_among_patches_a_patch_reads_itself_alone(folder, taught, sets):
    lone = replace(QUICK, weights=Weights(correlation=0, smoothness=0, genes=0))
    where = teach(folder, "lone", taught, sets, custom=lone, flows=[])
    state, config = load_model(where, "quadflow")
    assert len(state["ridge"]) == FEATURES
    assert not any(config["architecture"]["flows"].values())
    # What stands elsewhere changes an answer only through the slide's mean and spread.
    model, near = load_quadflow(where).model, load_quadflow(folder / "model").model
    assert model.reader.radii_um == () and near.reader.radii_um


@pytest.mark.parametrize(
    ("options", "code"),
    [({"preset": "huge", "custom": None}, "unknown_preset"), ({"flows": ["up"]}, "unknown_flow")],
)
def test_wrong_settings_are_refused(folder, taught, sets, options, code):
    with pytest.raises(InputError) as caught:
        teach(folder, "wrong", taught, sets, **options)
    assert caught.value.code == code


def test_cohorts_that_cannot_teach_are_refused(folder, taught, sets):
    with pytest.raises(InputError, match="pretrain") as caught:
        teach(folder, "none", [], sets)
    assert caught.value.code == "no_cohort"
    small = written(folder, "small", slide(3, side=5))
    with pytest.raises(InputError, match=r"toy \(25\)") as caught:
        teach(folder, "small model", [small], sets)
    assert caught.value.code == "too_few_spots"
    spots = slide(4)
    foreign = written(folder, "foreign", (*spots[:2], spots[2].rename(columns=str.lower)))
    with pytest.raises(InputError) as caught:
        teach(folder, "foreign model", [taught[0], foreign], sets)
    assert caught.value.code == "no_shared_pathways"
    fewer = written(folder, "fewer", (*spots[:2], spots[2].iloc[3:]))
    with pytest.raises(InputError, match="lacks 3 of the 169") as caught:
        teach(folder, "fewer model", [fewer], sets)
    assert caught.value.code == "other_spots"


def test_a_section_whose_panel_has_no_scores_is_left_out(taught, sets):
    from tissuemake.models.quadflow.cohort import read_cohort

    bare = read_table(taught[1][2], PATHWAYS)[[]]
    path = taught[1][2].with_name("bare.parquet")
    write_table(bare, path, PATHWAYS)
    columns = [[paths[i] for paths in taught] for i in range(3)]
    columns[2][1] = path
    assert len(read_cohort(*columns, sets, genes=60).slides) == 1
    columns[2][0] = path
    with pytest.raises(InputError) as caught:
        read_cohort(*columns, sets, genes=60)
    assert caught.value.code == "no_shared_pathways"


def test_another_encoder_is_refused(folder, model, asked):
    tiles = read_anndata(asked[1], EMBEDDINGS)
    tiles.uns["tissuemake"] = {"encoder": "phikon"}
    write_anndata(tiles, folder / "phikon.h5ad", EMBEDDINGS)
    with pytest.raises(InputError, match="'toy'") as caught:
        predict_pathways(folder / "phikon.h5ad", model, folder / "x.parquet")
    assert caught.value.code == "wrong_encoder"


def test_a_sample_without_an_image_gets_empty_tables_that_say_why(folder, model, asked):
    tiles = read_anndata(asked[1], EMBEDDINGS)
    write_anndata(tiles[:0].copy(), folder / "bare.h5ad", EMBEDDINGS)
    outputs = [folder / name for name in ("bare.parquet", "bare genes.h5ad", "bare attention.parquet")]
    predict_pathways(folder / "bare.h5ad", model, *outputs, filtered=asked[0])
    scores, genes = read_table(outputs[0], PATHWAYS), read_anndata(outputs[1], IMPUTED)
    assert scores.shape == (len(read_anndata(asked[0], FILTERED)), 0) and genes.n_vars == 0
    assert "holds no tile" in scores.attrs["tissuemake"]["reason"] and genes.uns["tissuemake"]["note"]
    assert list(read_table(outputs[2], PATHWAY_ATTENTION).columns) == list(PATHWAY_ATTENTION.columns)
    with pytest.raises(InputError) as caught:
        predict_pathways(folder / "bare.h5ad", model, *outputs, microns_per_pixel=0.5)
    assert caught.value.code == "no_images"


def test_presets_are_those_of_the_paper():
    sizes = {
        name: (preset.architecture.width, preset.architecture.layers) for name, preset in PRESETS.items()
    }
    assert sizes == {"tiny": (128, 2), "small": (256, 4), "base": (512, 6)}


def test_expression_is_read_where_asked_and_then_scores_no_gene(folder, taught, sets, asked):
    both = replace(QUICK, architecture=replace(QUICK.architecture, expression=6))
    where = teach(folder, "both", taught, sets, custom=both)
    predict_pathways(asked[1], where, folder / "both.parquet", folder / "both.h5ad", filtered=asked[0])
    said, truth = read_table(folder / "both.parquet", PATHWAYS), read_table(asked[2], PATHWAYS)
    # What no image shows is told by the genes.
    assert pearson(said.to_numpy(), truth.to_numpy())[SETS.index("UNSEEN")] > 0.5
    assert read_anndata(folder / "both.h5ad", IMPUTED).var["held_out_r"].isna().all()
    with pytest.raises(InputError) as caught:
        predict_pathways(asked[1], where, folder / "x.parquet")
    assert caught.value.code == "expression_needed"
