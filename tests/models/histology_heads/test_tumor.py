"""Tumour is found in sections whose donor the head never saw; what cannot be fitted is refused by name."""

import json

import numpy as np
import pandas as pd
import pytest

from models.histology_heads.toy_sections import PITCH_UM, ToySection, lattice, tumor_section
from tissuemake.contracts import TUMOR, read_table
from tissuemake.errors import InputError
from tissuemake.evaluation.metrics import presence_rank
from tissuemake.evaluation.splits import spatial_blocks
from tissuemake.models.histology_heads.logistic import (
    LogisticHead,
    Part,
    cross_fit,
    fit_calibrated,
    fit_head,
    platt,
    sigmoid,
)
from tissuemake.models.histology_heads.tumor import detect_tumor, fit_tumor

LABELS = ["cancer"]


def cohort_of(folder, donors: dict[str, str]) -> list[ToySection]:
    return [
        tumor_section(folder, sample, donor=donor, seed=seed)
        for seed, (sample, donor) in enumerate(donors.items())
    ]


def fitted(folder, cohort, **options) -> dict:
    fit_tumor([part.for_tumor for part in cohort], folder / "model", tumor_labels=LABELS, **options)
    return json.loads((folder / "model" / "config.json").read_text())


def detected(folder, section) -> pd.DataFrame:
    detect_tumor(section.filtered, section.embeddings, folder / "model", folder / "tumor.parquet")
    return read_table(folder / "tumor.parquet", TUMOR)


def auroc(found: pd.DataFrame, section: ToySection) -> float:
    truth = pd.read_csv(section.labels, sep="\t", index_col=0)["label"].loc[found.index] == "cancer"
    return presence_rank(found["probability"].to_numpy(), truth.to_numpy())


def log_odds(found: pd.DataFrame) -> np.ndarray:
    return np.log(found["probability"] / (1 - found["probability"])).to_numpy()


def test_a_new_donor_is_told_by_the_head_of_all(tmp_path):
    cohort = cohort_of(tmp_path, {"a": "A", "b": "B", "c": "C"})
    fitted(tmp_path, cohort)
    new = tumor_section(tmp_path, "new", donor="N", seed=9)
    found = detected(tmp_path, new)
    assert auroc(found, new) > 0.8
    assert found.attrs["tissuemake"]["heads"] == ["all"]
    assert not found["seen"].any()
    assert found["probability"].between(0, 1).all()


def test_a_donor_of_the_cohort_is_asked_of_the_twin_that_never_saw_it(tmp_path):
    cohort = cohort_of(tmp_path, {"a1": "A", "a2": "A", "b": "B", "c": "C"})
    config = fitted(tmp_path, cohort)
    found = detected(tmp_path, cohort[1])
    assert found.attrs["tissuemake"]["heads"] == ["without donor A"]
    fit_tumor([part.for_tumor for part in cohort[2:]], tmp_path / "model", tumor_labels=LABELS)
    without = detected(tmp_path, cohort[1])
    assert without.attrs["tissuemake"]["heads"] == ["all"]
    np.testing.assert_allclose(found["probability"], without["probability"], rtol=1e-6)
    assert config["scores"]["a2"]["AUROC"] == pytest.approx(auroc(found, cohort[1]))


def test_a_lone_donor_is_asked_block_by_block_and_its_own_labels_change_nothing(tmp_path):
    [section] = cohort_of(tmp_path, {"a": "A"})
    config = fitted(tmp_path, [section])
    before = detected(tmp_path, section)
    assert set(config["heads"]) > {"without block 0 of a", "all"}
    assert not before["seen"].any()
    assert config["scores"]["a"]["AUROC"] == pytest.approx(auroc(before, section))
    # A block turns into the opposite: what it is told of itself may not follow, but for the share of tumour.
    blocks = spatial_blocks(lattice(12, PITCH_UM), 5, 0)
    turned = blocks == blocks[0]
    labels = pd.read_csv(section.labels, sep="\t", index_col=0)
    labels.loc[turned, "label"] = labels.loc[turned, "label"].map({"cancer": "stroma", "stroma": "cancer"})
    labels.to_csv(section.labels, sep="\t")
    fitted(tmp_path, [section])
    after = detected(tmp_path, section)
    change = log_odds(after) - log_odds(before)
    assert np.ptp(change[turned]) < 1e-6
    assert np.ptp(change[~turned]) > 0.1


def test_a_donor_that_taught_the_encoder_counts_as_seen(tmp_path, caplog):
    donors = {"a": "A", "b": "B", "c": "C"}
    cohort = [
        tumor_section(tmp_path, sample, donor=donor, seed=seed, fine_tuned_on={"a": "A", "new": "N"})
        for seed, (sample, donor) in enumerate(donors.items())
    ]
    scores = fitted(tmp_path, cohort)["scores"]
    assert scores["a"] is None and scores["b"]["AUROC"] > 0.7
    new = tumor_section(tmp_path, "new", donor="N", seed=9, fine_tuned_on={"a": "A", "new": "N"})
    for section, taught in ((cohort[0], True), (cohort[1], False), (new, True)):
        caplog.clear()
        found = detected(tmp_path, section)
        assert found["seen"].all() == found["seen"].any() == taught
        assert ("was fine-tuned on transcripts of its donor" in caplog.text) == taught
        assert found.attrs["tissuemake"]["encoder_saw_donor"] == taught
        assert (found.attrs["tissuemake"].get("scores") is None) == taught


def test_noise_is_not_told_from_its_own_labels(tmp_path):
    section = tumor_section(tmp_path, "noise", donor="A", features=40)
    labels = pd.read_csv(section.labels, sep="\t", index_col=0)
    rng = np.random.default_rng(0)
    labels["label"] = rng.permutation(labels["label"].to_numpy())
    labels.to_csv(section.labels, sep="\t")
    config = fitted(tmp_path, [section])
    assert config["scores"]["noise"]["AUROC"] < 0.68


def test_another_staining_changes_nothing(tmp_path):
    cohort = [tumor_section(tmp_path, name, donor=name, seed=place) for place, name in enumerate("abc")]
    assert fitted(tmp_path, cohort)["within_section"] is True
    plain = detected(tmp_path, tumor_section(tmp_path, "n", donor="N", seed=9))
    darker = detected(tmp_path, tumor_section(tmp_path, "n", donor="N", seed=9, staining=20.0))
    np.testing.assert_allclose(plain["probability"], darker["probability"], atol=1e-4)


def test_healthy_donors_teach_that_the_level_counts(tmp_path):
    cohort = [
        tumor_section(tmp_path, name, donor=name, seed=place, healthy=name in "cd")
        for place, name in enumerate("abcd")
    ]
    assert fitted(tmp_path, cohort)["within_section"] is False
    healthy = detected(tmp_path, tumor_section(tmp_path, "n", donor="N", seed=9, healthy=True))
    ill = detected(tmp_path, tumor_section(tmp_path, "m", donor="M", seed=9))
    assert ill["probability"].mean() > healthy["probability"].mean() + 0.1


def test_a_spot_without_a_tile_has_no_probability(tmp_path):
    import anndata as ad

    cohort = cohort_of(tmp_path, {"a": "A", "b": "B"})
    fitted(tmp_path, cohort)
    tiles = ad.read_h5ad(cohort[0].embeddings)
    tiles[3:].copy().write_h5ad(cohort[0].embeddings)
    found = detected(tmp_path, cohort[0])
    assert found["probability"].isna().to_numpy().tolist() == [True] * 3 + [False] * (len(found) - 3)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ({"tumor_labels": ["carcinoma"]}, "no_tumor_label", "'cancer', 'stroma'"),
        ({"tumor_labels": ["cancer", "stroma"]}, "one_class", "histology: tumor_labels"),
        ({"tumor_labels": ["cancer"], "ignored_labels": ["stroma"]}, "one_class", "stroma are ignored"),
    ],
)
def test_labels_of_one_side_are_refused(tmp_path, options, code, said):
    section = tumor_section(tmp_path, "a")
    with pytest.raises(InputError) as caught:
        fit_tumor([section.for_tumor], tmp_path / "model", **options)
    assert caught.value.code == code
    assert said in str(caught.value)


def test_another_encoder_is_refused(tmp_path):
    cohort = cohort_of(tmp_path, {"a": "A", "b": "B"})
    fitted(tmp_path, cohort)
    other = tumor_section(tmp_path, "other", features=7)
    with pytest.raises(InputError) as caught:
        detected(tmp_path, other)
    assert caught.value.code == "wrong_encoder"
    with pytest.raises(InputError) as caught:
        fitted(tmp_path, [*cohort, other])
    assert caught.value.code == "wrong_encoder"


def test_other_weights_of_the_same_encoder_are_refused(tmp_path):
    import anndata as ad

    cohort = cohort_of(tmp_path, {"a": "A", "b": "B"})
    fitted(tmp_path, cohort)
    tiles = ad.read_h5ad(cohort[0].embeddings)
    tiles.uns["tissuemake"]["weights_sha256"] = "0" * 64
    tiles.write_h5ad(cohort[0].embeddings)
    with pytest.raises(InputError) as caught:
        detected(tmp_path, cohort[0])
    assert caught.value.code == "wrong_encoder"
    assert "other weights" in str(caught.value)


def test_a_head_is_the_pipeline_that_it_stands_for():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    vectors = rng.normal(3, 4, (80, 5))
    truth = vectors[:, 0] + rng.normal(0, 4, 80) > 3
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced"))
    expected = pipeline.fit(vectors, truth).predict_proba(vectors)[:, 1]
    np.testing.assert_allclose(fit_head(vectors, truth, 0.1).probability(vectors), expected, atol=1e-3)


def test_more_features_than_rows():
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 2 == 0
    vectors = rng.normal(0, 1, (60, 400)) + 0.8 * truth[:, None] * (np.arange(400) < 30)
    fresh = rng.normal(0, 1, (60, 400)) + 0.8 * truth[:, None] * (np.arange(400) < 30)
    assert presence_rank(fit_head(vectors, truth, 0.1).logit(fresh), truth) > 0.9


def test_calibration_mends_overconfidence():
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 4000)
    truth = rng.random(4000) < sigmoid(logit)
    slope, shift = platt(5 * logit + 3, truth)
    assert slope == pytest.approx(0.2, abs=0.02)
    assert shift == pytest.approx(-0.6, abs=0.12)
    assert platt(-logit, truth) == (0.0, 0.0)


def test_the_share_of_the_class_is_not_learnt_but_added():
    rng = np.random.default_rng(0)
    truth = rng.random(400) < 0.9
    vectors = rng.normal(0, 1, (400, 3)) + truth[:, None]
    parts = [
        Part(np.arange(400) % 4 != fold, np.flatnonzero(np.arange(400) % 4 == fold)) for fold in range(4)
    ]
    fresh = rng.random(4000) < 0.9
    asked = rng.normal(0, 1, (4000, 3)) + fresh[:, None]
    head, _ = fit_calibrated(vectors, truth, parts)
    assert head.probability(asked).mean() == pytest.approx(0.9, abs=0.05)
    other, _ = fit_calibrated(vectors, truth, parts, prior=0.0)
    np.testing.assert_allclose(
        head.logit(asked) - other.logit(asked), np.log((truth.sum() + 1) / ((~truth).sum() + 1))
    )


def test_cross_fitting_asks_no_row_of_a_head_that_saw_it():
    rng = np.random.default_rng(0)
    vectors, truth = rng.normal(0, 1, (40, 3)), np.arange(40) % 2 == 0
    half = np.arange(40) < 20
    parts = [
        Part(np.flatnonzero(half), np.flatnonzero(~half)),
        Part(np.flatnonzero(~half), np.flatnonzero(half)),
    ]
    logit = cross_fit(vectors, truth, parts, 1.0)
    np.testing.assert_allclose(logit[~half], fit_head(vectors[half], truth[half], 1.0).logit(vectors[~half]))
    head, loss = fit_calibrated(vectors, truth, [])
    assert isinstance(head, LogisticHead) and np.isnan(loss)
