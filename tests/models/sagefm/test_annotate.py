"""Labels of spots come from probes that never saw the donor asked; what cannot be learnt is refused by name."""

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from models.histology_heads.toy_sections import PITCH_UM, lattice, write_filtered
from tissuemake.contracts import (
    ANNOTATION,
    DOMAINS,
    FILTERED,
    SPOT_EMBEDDINGS,
    read_anndata,
    read_table,
    write_anndata,
)
from tissuemake.errors import InputError
from tissuemake.models.probe import STRENGTHS, Probe, fit_probe, within_section
from tissuemake.models.sagefm.annotate import annotate_spots, fit_annotation
from tissuemake.models.sagefm.graph import lattice_rings
from tissuemake.models.sagefm.labelled import read_section_vectors

REGIONS = ("tumor", "stroma", "fat")
WIDTH = 5


def toy(
    folder: Path, sample: str, donor: str = "", *, seed: int = 0, flip: bool = False, side: int = 15, **made
):
    """Three stripes, each with a direction of its own; with `flip` the first two directions change places."""
    rng = np.random.default_rng(seed)
    positions = lattice(side, PITCH_UM)
    stripe = np.minimum((positions[:, 0] - PITCH_UM) // (side * PITCH_UM / 3), 2).astype(int)
    filtered = folder / f"{sample}.h5ad"
    write_filtered(filtered, sample, positions, rng.poisson(3, (len(positions), 4)), donor=donor)
    meant = np.array([1, 0, 2])[stripe] if flip else stripe
    # Each section lies elsewhere: a probe must not need the level.
    vectors = (
        3.0 * np.eye(WIDTH)[meant] + rng.normal(0, 0.7, (len(positions), WIDTH)) + rng.normal(0, 9, WIDTH)
    )
    spots = read_anndata(filtered, FILTERED)
    embedded = ad.AnnData(vectors.astype(np.float32), obs=spots.obs[[]].copy())
    embedded.obsm["spatial"] = spots.obsm["spatial"]
    embedded.uns["tissuemake"] = {"method": "sagefm"} | made
    write_anndata(embedded, folder / f"{sample}.spots.h5ad", SPOT_EMBEDDINGS)
    labels = pd.DataFrame({"label": np.array(REGIONS, dtype=object)[stripe]}, index=spots.obs_names)
    labels.iloc[::2].to_csv(folder / f"{sample}.tsv", sep="\t")
    return filtered, folder / f"{sample}.spots.h5ad", str(folder / f"{sample}.tsv")


def annotated(folder: Path, section) -> pd.DataFrame:
    annotate_spots(*section[:2], folder / "model", folder / "annotation.parquet")
    return read_table(folder / "annotation.parquet", ANNOTATION)


def truth(section) -> pd.Series:
    return pd.read_csv(section[2], sep="\t", index_col=0)["label"]


def accuracy(found: pd.DataFrame, section) -> float:
    known = truth(section)
    return float((found.loc[known.index, "label"] == known).mean())


def test_a_new_donor_gets_the_labels_of_the_cohort(tmp_path):
    fit_annotation([toy(tmp_path, "a", "A", seed=1), toy(tmp_path, "b", "B", seed=2)], tmp_path / "model")
    new = toy(tmp_path, "new", "N", seed=3)
    found = annotated(tmp_path, new)
    assert accuracy(found, new) > 0.9
    assert not found["seen"].any() and found["probability"].between(1 / 3, 1).all()
    assert found.attrs["tissuemake"]["heads"] == ["all"]
    assert sorted(found.attrs["tissuemake"]["labels"]) == sorted(REGIONS)


def test_a_donor_of_the_cohort_is_asked_of_a_probe_that_never_saw_them(tmp_path):
    cohort = [
        toy(tmp_path, "a", "A", seed=1, flip=True),
        toy(tmp_path, "b", "B", seed=2),
        toy(tmp_path, "c", "C", seed=3),
    ]
    fit_annotation(cohort, tmp_path / "model")
    found = annotated(tmp_path, cohort[0])
    # Donor A's labels are the other way round: whoever had seen them would do better.
    assert accuracy(found, cohort[0]) < 0.5
    assert found.attrs["tissuemake"]["heads"] == ["without donor A"] and not found["seen"].any()
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["scores"]["a"]["accuracy"] == pytest.approx(accuracy(found, cohort[0]))
    # Another section of a donor is theirs too, labelled or not.
    serial = toy(tmp_path, "a2", "A", seed=4)
    assert annotated(tmp_path, serial).attrs["tissuemake"]["heads"] == ["without donor A"]


def test_a_lone_donor_is_asked_block_by_block(tmp_path):
    section = toy(tmp_path, "a", "A", side=18)
    fit_annotation([section], tmp_path / "model")
    found = annotated(tmp_path, section)
    assert set(found.attrs["tissuemake"]["heads"]) == {f"without block {fold} of a" for fold in range(5)}
    assert not found["seen"].any()
    assert accuracy(found, section) > 0.6


def test_a_label_that_one_donor_alone_has_is_never_given_to_them(tmp_path):
    cohort = [toy(tmp_path, name, name.upper(), seed=seed) for seed, name in enumerate("abc")]
    table = pd.read_csv(cohort[0][2], sep="\t", index_col=0)
    table.loc[table["label"] == "fat", "label"] = "nerve"
    table.to_csv(cohort[0][2], sep="\t")
    fit_annotation(cohort, tmp_path / "model")
    assert "nerve" not in set(annotated(tmp_path, cohort[0])["label"])
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert "nerve" in config["classes"] and config["scores"]["a"]["accuracy"] < 0.8


def test_ignored_labels_are_not_learnt(tmp_path):
    cohort = [toy(tmp_path, "a", "A", seed=1), toy(tmp_path, "b", "B", seed=2)]
    fit_annotation(cohort, tmp_path / "model", ignored_labels=["fat"])
    assert set(annotated(tmp_path, cohort[0])["label"]) == {"tumor", "stroma"}


def test_one_label_alone_is_refused(tmp_path):
    with pytest.raises(InputError) as refused:
        fit_annotation([toy(tmp_path, "a")], tmp_path / "model", ignored_labels=["fat", "stroma"])
    assert refused.value.code == "one_class" and "tumor" in str(refused.value)


@pytest.mark.parametrize("made", [{"method": "other"}, {"weights_sha256": "f" * 64}])
def test_spots_of_another_model_are_refused(tmp_path, made):
    fit_annotation([toy(tmp_path, "a", "A"), toy(tmp_path, "b", "B")], tmp_path / "model")
    with pytest.raises(InputError) as refused:
        annotated(tmp_path, toy(tmp_path, "c", **made))
    assert refused.value.code == "wrong_model"


def test_an_embedding_of_other_spots_is_refused(tmp_path):
    section, other = toy(tmp_path, "a"), toy(tmp_path, "b")
    with pytest.raises(InputError) as refused:
        fit_annotation([(section[0], other[1], section[2])], tmp_path / "model")
    assert refused.value.code == "other_spots"


def test_the_penalty_is_chosen_by_rows_that_were_left_out(monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.tile(np.array(["x", "y"], dtype=object), 20)
    # Forty features of noise, one that says a little: without a penalty the noise is learnt by heart.
    vectors = np.column_stack([rng.normal(0, 1, (40, 40)), (labels == "x") + rng.normal(0, 0.5, 40)])
    folds = [(np.arange(20), np.arange(20, 40)), (np.arange(20, 40), np.arange(20))]
    probe, score = fit_probe(vectors, labels, folds)
    left_out = {}
    for strength in STRENGTHS:
        monkeypatch.setattr("tissuemake.models.probe.STRENGTHS", (strength,))
        left_out[strength] = fit_probe(vectors, labels, folds)[1]
    assert score == max(left_out.values()) > min(left_out.values())
    assert left_out[probe.strength] == score


def test_two_classes_have_the_probability_of_the_library():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(0, 1, (30, 3)), np.array(["x", "y", "y"] * 10, dtype=object)
    probe, score = fit_probe(vectors, labels)
    library = LogisticRegression(C=probe.strength, max_iter=1000).fit(vectors, labels.astype(str))
    assert np.isnan(score)
    assert probe.probability(vectors) == pytest.approx(library.predict_proba(vectors))


def test_an_impossible_class_has_probability_zero():
    probe = Probe(np.zeros((2, 3)), np.array([0.0, -np.inf]), ("x", "y"))
    assert probe.probability(np.ones((1, 3))).tolist() == [[1.0, 0.0]]


def test_vectors_are_relative_to_their_section():
    vectors = np.array([[1.0, 5.0], [3.0, 5.0]], dtype=np.float32)
    assert within_section(vectors).tolist() == [[-1.0, 0.0], [1.0, 0.0]]


def test_only_labels_that_the_asked_probe_was_taught_are_said_to_be_known(tmp_path):
    """One donor alone has fat: its twin cannot give it."""
    alone, other = toy(tmp_path, "a", "A", seed=1), toy(tmp_path, "b", "B", seed=2)
    labels = pd.read_csv(other[2], sep="\t", index_col=0)
    labels[labels["label"] != "fat"].to_csv(other[2], sep="\t")
    fit_annotation([alone, other], tmp_path / "model")
    found = annotated(tmp_path, alone)
    assert found.attrs["tissuemake"]["labels"] == ["stroma", "tumor"]
    assert set(found["label"]) == {"stroma", "tumor"}
    assert sorted(annotated(tmp_path, other).attrs["tissuemake"]["labels"]) == sorted(REGIONS)


def test_the_command_line_learns_and_gives_labels(tmp_path):
    from typer.testing import CliRunner

    from tissuemake.cli import app

    cohort = [toy(tmp_path, "a", "A", seed=1), toy(tmp_path, "b", "B", seed=2)]
    new, where = toy(tmp_path, "new", "N", seed=3), str(tmp_path / "model")
    given = [str(section[0]) for section in cohort]
    for option, column in (("--embedding", 1), ("--labels", 2)):
        given += [part for section in cohort for part in (option, str(section[column]))]
    fitted = CliRunner().invoke(app, ["fit-annotation", *given, "-o", where, "--ignore", "fat"])
    assert fitted.exit_code == 0, fitted.output
    assert CliRunner().invoke(app, ["fit-annotation", *given[:-2], "-o", where]).exit_code == 2
    output = tmp_path / "labels.parquet"
    said = CliRunner().invoke(
        app, ["annotate-spots", str(new[0]), str(new[1]), "--model", where, "-o", str(output)]
    )
    assert said.exit_code == 0, said.output
    assert set(read_table(output, ANNOTATION)["label"]) == {"tumor", "stroma"}
    output = tmp_path / "domains.parquet"
    options = ["--embedding", str(new[1]), "--number", "3", "-o", str(output)]
    found = CliRunner().invoke(app, ["domains", str(new[0]), *options])
    assert found.exit_code == 0, found.output
    assert read_table(output, DOMAINS)["sagefm"].nunique() == 3


def test_spots_whose_neighborhood_reaches_into_a_block_are_near_it(tmp_path):
    files = toy(tmp_path, "one", "donor")
    section = read_section_vectors(files[0], files[1])
    blocks, near = section.blocks(0)
    around = lattice_rings(section.positions, "square", pitch_um=PITCH_UM).index
    for fold in range(near.shape[1]):
        touched = ((blocks[around] == fold) & (around >= 0)).any(axis=1)
        assert near[touched, fold].all() and not near[:, fold].all()
