"""Expression from images: what a head learns, whom it is scored on, and what it refuses."""

import shutil

import anndata as ad
import numpy as np
import pytest

from models.histology_heads.sections_with_genes import GENES, write_section
from tissuemake.errors import InputError
from tissuemake.files import sha256
from tissuemake.models.histology_heads.expression import fit_expression, predict_expression
from tissuemake.models.store import load_model


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Three sections of two donors, and the folder of a head fitted on them."""
    folder = tmp_path_factory.mktemp("cohort")
    sections = [
        write_section(folder, name, donor=donor, seed=seed)
        for seed, (name, donor) in enumerate([("one", "A"), ("two", "A"), ("three", "B")])
    ]
    fit_expression(sections, folder / "head", seed=0)
    return folder, sections


def predicted(folder, paths, name="out"):
    predict_expression(*paths, folder / "head", folder / f"{name}.h5ad")
    return ad.read_h5ad(folder / f"{name}.h5ad")


def moved(adata) -> np.ndarray:
    """Whether the law of the toy sections moves a gene."""
    return np.array([int(name.removeprefix("GENE")) < GENES // 2 for name in adata.var_names])


def test_genes_that_follow_the_image_are_predicted_on_a_new_section_and_others_are_not(cohort):
    folder, _ = cohort
    found = predicted(folder, write_section(folder, "new", donor="C", seed=7))
    scores = found.var["held_out_r"]
    assert found.shape == (144, GENES) and found.var["measured"].all()
    # The others move a little too, because shares of a spot sum to 1.
    assert scores[moved(found)].mean() > 0.8 and scores[~moved(found)].mean() < 0.5
    assert found.var["held_out_r_depth_adjusted"][moved(found)].mean() > 0.5
    assert found.uns["tissuemake"]["head"] == "all" and not found.uns["tissuemake"]["head_saw_donor"]


def test_a_sample_of_the_cohort_is_asked_of_the_twin_that_did_not_see_its_donor(cohort):
    folder, sections = cohort
    _, config = load_model(folder / "head")
    assert [head["without"] for head in config["heads"]] == ["", "A", "B"]
    found = predicted(folder, sections[0])
    assert found.uns["tissuemake"]["head"] == "without A"
    alone = folder / "alone"
    fit_expression(sections[2:], alone, seed=0)
    predict_expression(*sections[0], alone, folder / "by_others.h5ad")
    by_others = ad.read_h5ad(folder / "by_others.h5ad")
    np.testing.assert_allclose(found[:, by_others.var_names].X, by_others.X, atol=1e-5)
    assert set(config["scores"]) == {"one", "two", "three"} and config["scores"]["one"]["PCC"] > 0.2


def test_a_cohort_of_one_donor_does_not_score_itself(cohort):
    folder, sections = cohort
    fit_expression(sections[:2], folder / "single", seed=0)
    predict_expression(*sections[0], folder / "single", folder / "single.h5ad")
    found = ad.read_h5ad(folder / "single.h5ad")
    assert found.uns["tissuemake"]["head_saw_donor"] and found.var["held_out_r"].isna().all()
    assert np.isfinite(found.X).all()


def test_a_donor_that_taught_the_encoder_is_predicted_and_never_scored(tmp_path, caplog):
    """Neither by the twin that did not see it, nor as a sample that the head does not know."""
    names = {"one": "A", "two": "B", "three": "C", "new": "A", "free": "D"}
    files = {
        name: write_section(tmp_path, name, donor=donor, seed=seed, fine_tuned_on={"one": "A", "old": "B"})
        for seed, (name, donor) in enumerate(names.items())
    }
    fit_expression([files[name] for name in ("one", "two", "three")], tmp_path / "head")
    assert set(load_model(tmp_path / "head")[1]["scores"]) == {"three"}
    card = (tmp_path / "head" / "README.md").read_text()
    assert "genes of three" in card and "genes of one" not in card
    for name, head in (("one", "without A"), ("new", "without A"), ("three", "without C"), ("free", "all")):
        caplog.clear()
        predict_expression(*files[name], tmp_path / "head", tmp_path / "out.h5ad")
        found = ad.read_h5ad(tmp_path / "out.h5ad")
        record, taught = found.uns["tissuemake"], names[name] == "A"
        assert record["head"] == head and np.isfinite(found.X).all()
        assert record["head_saw_donor"] == record["encoder_saw_donor"] == taught
        assert found.var["held_out_r"].isna().all() == taught
        assert found.var["held_out_r_depth_adjusted"].isna().all() == taught
        assert (
            f"{name} is not scored as held out: the encoder 'toy' was fine-tuned" in caplog.text
        ) == taught


def test_an_encoder_that_every_donor_taught_leaves_no_score(tmp_path):
    taught = {"one": "A", "two": "B"}
    files = [
        write_section(tmp_path, name, donor=donor, seed=seed, fine_tuned_on=taught)
        for seed, (name, donor) in enumerate(taught.items())
    ]
    fit_expression(files, tmp_path / "head")
    assert load_model(tmp_path / "head")[1]["scores"] == {}


def test_genes_are_found_by_name_and_those_not_measured_have_no_score(cohort):
    folder, _ = cohort
    order = np.random.default_rng(0).permutation(GENES)[:40]
    whole = predicted(folder, write_section(folder, "new", donor="C", seed=7))
    some = write_section(folder, "some", donor="C", seed=7, genes=order)
    found = predicted(folder, some)
    assert found.var["measured"].sum() == 40 and found.var["held_out_r"].notna().sum() == 40
    np.testing.assert_allclose(found[:, whole.var_names].X, whole.X, atol=1e-5)


def test_spots_without_a_tile_are_left_open(cohort):
    folder, _ = cohort
    found = predicted(folder, write_section(folder, "part", donor="C", seed=7, tiles=100))
    assert np.isnan(found.X[100:]).all() and np.isfinite(found.X[:100]).all()
    assert found.uns["tissuemake"]["n_spots_without_tile"] == 44
    assert found.var["held_out_r"].notna().all()


def test_each_organism_has_its_own_head_and_a_stranger_gets_no_genes(cohort):
    folder, sections = cohort
    mouse = write_section(folder, "mouse", donor="M", seed=3, organism="mouse", genes=np.arange(50))
    fit_expression([*sections, mouse], folder / "both", seed=0)
    _, config = load_model(folder / "both")
    assert {head["organism"] for head in config["heads"]} == {"human", "mouse"}
    predict_expression(*mouse, folder / "both", folder / "mouse.h5ad")
    assert ad.read_h5ad(folder / "mouse.h5ad").n_vars <= 50
    predict_expression(*mouse, folder / "head", folder / "no.h5ad")
    nothing = ad.read_h5ad(folder / "no.h5ad")
    assert nothing.n_vars == 0 and nothing.n_obs > 0
    assert "mouse" in nothing.uns["tissuemake"]["note"]


@pytest.mark.parametrize("change", [{"encoder": "other"}, {"weights": "abc"}])
def test_vectors_of_another_encoder_or_of_other_weights_are_refused(cohort, change):
    folder, _ = cohort
    other = write_section(folder, "other", donor="C", seed=7, **change)
    with pytest.raises(InputError) as caught:
        predict_expression(*other, folder / "head", folder / "no.h5ad")
    assert caught.value.code == "wrong_encoder"


def test_a_cohort_cannot_mix_encoders(cohort):
    folder, sections = cohort
    other = write_section(folder, "stranger", donor="C", seed=7, encoder="other")
    with pytest.raises(InputError) as caught:
        fit_expression([sections[0], other], folder / "mixed")
    assert caught.value.code == "wrong_encoder"


@pytest.mark.parametrize(("tiles", "code"), [(0, "no_images"), (20, "too_few_spots")])
def test_a_cohort_with_nothing_to_learn_from_says_so(cohort, tiles, code):
    folder, _ = cohort
    section = write_section(folder, f"few{tiles}", donor="A", seed=1, tiles=tiles)
    with pytest.raises(InputError, match=f"few{tiles}") as caught:
        fit_expression([section], folder / "never")
    assert caught.value.code == code
    if not tiles:
        predict_expression(*section, folder / "head", folder / "no.h5ad")
        assert "no H&E tiles" in ad.read_h5ad(folder / "no.h5ad").uns["tissuemake"]["note"]


def test_sections_that_share_no_genes_are_refused(cohort):
    folder, _ = cohort
    left = write_section(folder, "left", donor="A", seed=1, genes=np.arange(30))
    right = write_section(folder, "right", donor="B", seed=2, genes=np.arange(30, 60))
    with pytest.raises(InputError) as caught:
        fit_expression([left, right], folder / "never")
    assert caught.value.code == "no_shared_genes"


def test_the_card_names_every_file_that_taught(cohort):
    """As they lie in a run: the embeddings of all samples bear one name."""
    folder, sections = cohort
    laid = []
    for number, (filtered, embeddings) in enumerate(sections):
        sample = folder / "samples" / str(number)
        (sample / "embeddings").mkdir(parents=True)
        pair = sample / "filtered.h5ad", sample / "embeddings" / "color.h5ad"
        laid.append(
            [shutil.copy(path, place) for path, place in zip((filtered, embeddings), pair, strict=True)]
        )
    fit_expression(laid, folder / "laid", seed=0)
    card = (folder / "laid" / "README.md").read_text()
    assert all(sha256(path) in card for pair in laid for path in pair)
