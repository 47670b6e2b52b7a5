"""Perturbation finds the planted ligands, their direction, and nothing where nothing is."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from models.sagefm import toy_signals
from models.sagefm.toy_section import written
from tissuemake.contracts import PERTURBATION, check_table, read_table, write_table
from tissuemake.errors import InputError
from tissuemake.models.sagefm import responses as responses_module
from tissuemake.models.sagefm.perturb import combine_slides, perturb, perturb_cohort, perturb_spots
from tissuemake.models.sagefm.perturbed import low_and_high, some_spots
from tissuemake.models.sagefm.responses import rigid_motion


@pytest.fixture(scope="module")
def sections():
    return [toy_signals.section(seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def model(sections):
    return toy_signals.Linear(sections)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.tsv"
    table = pd.DataFrame({"ligand": toy_signals.LIGANDS, "receptor": toy_signals.TARGETS})
    table.to_csv(path, sep="\t", index=False)
    return path


@pytest.fixture(scope="module")
def slides(sections, model, pairs):
    return [perturb(adata, model, pairs=pairs, seed=0) for adata in sections]


def is_planted(table):
    return table["ligand"].isin(toy_signals.LIGANDS[: toy_signals.PLANTED]).to_numpy()


def test_planted_ligands_move_their_targets_and_others_do_not(slides):
    for table in slides:
        check_table(table, PERTURBATION, "table")
        planted = is_planted(table)
        assert planted[: toy_signals.PLANTED].all(), "strongest first"
        assert table["effect"][planted].min() > 0.7 and table["pvalue_fdr"][planted].max() < 1e-5
        assert table["effect"][~planted].abs().max() < 0.25 and table["pvalue_fdr"][~planted].min() > 0.05
        assert table["random_effect"].abs().max() < 0.2


def test_direction_is_from_the_ligand_to_the_target(slides):
    for table in slides:
        planted = is_planted(table)
        assert (table["effect"] > 4 * table["swapped_effect"].abs())[planted].all()
        assert table["direction"][planted].min() > 2.5 > table["direction"][~planted].abs().max() + 0.5


def test_the_model_is_asked_the_same(slides, sections, model):
    """A linear model's answer is known: its slope times the observed range of the neighbours' mean, in SDs."""
    for table, adata in zip(slides, sections, strict=True):
        values, around = model._features(model.read(adata))
        span = np.diff(np.percentile(around, (5, 95), axis=0), axis=0)[0]
        for signal, response, column in (
            ("ligand", "target", "network_effect"),
            ("target", "ligand", "network_swapped_effect"),
        ):
            one, other = ([model.genes.index(name) for name in table[side]] for side in (signal, response))
            known = model.slopes[one, other] * span[one] / values.std(axis=0)[other]
            np.testing.assert_allclose(table[column], known, rtol=0.02, atol=1e-3)


def test_the_models_change_is_its_slope(sections, model):
    """One gene from low to high in all neighbours changes a linear model by slope x range, wherever asked."""
    part = model.read(sections[0])
    ligand, target = (model.genes.index(name) for name in ("LIG0", "TAR0"))
    both = low_and_high(part, np.array([ligand]), 2.0, 5.0)
    low, high = np.split(model.predict(both), 2)
    np.testing.assert_allclose((high - low)[:, target], 3 * model.slopes[ligand, target], rtol=1e-3)
    values = both.log_values()[:, ligand].toarray().ravel()
    np.testing.assert_allclose(values, np.repeat([2.0, 5.0], len(part)), rtol=1e-4)
    rest = np.delete(both.counts[len(part) :].toarray(), ligand, axis=1)
    np.testing.assert_array_equal(rest, np.delete(part.counts.toarray(), ligand, axis=1))
    half = both.neighbors.index[len(part) :]
    assert ((half == -1) | (half >= len(part))).all()


def test_shuffled_neighbours_tell_nothing(sections, model, pairs, monkeypatch):
    means = responses_module.neighborhood_means
    rng = np.random.default_rng(0)

    def elsewhere(values, neighbors):
        return means(values, neighbors)[rng.permutation(len(values))]

    monkeypatch.setattr(responses_module, "neighborhood_means", elsewhere)
    table = perturb(sections[0], model, pairs=pairs)
    assert table["zscore"].abs().max() < 4 and table["pvalue_fdr"].min() > 0.01


def test_pvalues_are_uniform_where_nothing_is_planted(model, tmp_path):
    section = toy_signals.section(5, gain=0.0)
    table = pd.DataFrame([(one, two) for one in toy_signals.LIGANDS for two in toy_signals.TARGETS])
    table.set_axis(["ligand", "receptor"], axis=1).to_csv(tmp_path / "all.csv", index=False)
    found = perturb(section, model, pairs=tmp_path / "all.csv")
    assert len(found) == 36 and kstest(found["pvalue"], "uniform").pvalue > 0.01


def test_slides_add_up(slides, tmp_path):
    for number, table in enumerate(slides):
        write_table(table, tmp_path / f"{number}.parquet", PERTURBATION)
    perturb_cohort([tmp_path / "0.parquet", tmp_path / "1.parquet"], tmp_path / "both.parquet")
    both = read_table(tmp_path / "both.parquet", PERTURBATION).set_index("ligand")
    one, two = (table.set_index("ligand").loc[both.index] for table in slides)
    np.testing.assert_allclose(both["zscore"], (one["zscore"] + two["zscore"]) / np.sqrt(2))
    np.testing.assert_allclose(both["effect"], (one["effect"] + two["effect"]) / 2)
    assert (both["slides"] == 2).all() and (both["agreement"][: toy_signals.PLANTED] == 1).all()


def test_agreement_counts_the_slides_of_the_combined_sign(slides):
    against = slides[1].assign(zscore=-slides[1]["zscore"] / 2)
    combined = combine_slides(pd.concat([slides[0], slides[0], against]))
    assert combined["agreement"].iloc[0] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("ligand\ttarget\nA\tB\n", "bad_pairs", "column 'receptor' is missing"),
        ("ligand\treceptor\nLIG0\tTAR0\nLIG1\t \n", "bad_pairs", "column 'receptor' is empty in row 3"),
        ("ligand\treceptor\nLIG0\tLIG0\n", "bad_pairs", "in row 2, 'LIG0' is its own receptor"),
        ("ligand\treceptor\nTNF\tTNFRSF1A\n", "no_pairs", "such as 'TNF' and 'TNFRSF1A'"),
        (None, "missing_pairs", "does not exist"),
    ],
)
def test_a_bad_table_of_pairs_is_named(sections, model, tmp_path, text, code, says):
    path = tmp_path / "mine.tsv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=says) as error:
        perturb(sections[0], model, pairs=path)
    assert error.value.code == code and "mine.tsv" in error.value.message
    assert "perturbation.pairs" in error.value.remedy or "row" in error.value.remedy


def test_a_table_may_name_targets_and_complexes(sections, model, tmp_path):
    (tmp_path / "t.csv").write_text("ligand,receptor,target\nLIG0_LIG1,ANY,TAR0_TAR1\nLIG0,ANY,TAR0\n")
    found = perturb(sections[0], model, pairs=tmp_path / "t.csv").set_index("ligand")
    assert set(found["target"]) == {"TAR0", "TAR0_TAR1"} and (found["zscore"] > 2.5).all()


def test_the_model_is_asked_about_some_spots_of_a_large_section(sections, model):
    part = some_spots(model.read(sections[0]), 150, np.random.default_rng(0))
    assert 150 <= len(part) < 200 and part.neighbors.index.max() < len(part)
    full = (part.neighbors.index >= 0).sum(axis=1)
    assert (full == 36).any(), "some have all their neighbours"


def test_rigid_motions_keep_neighbours_together():
    positions = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), axis=-1).reshape(-1, 2)
    place = rigid_motion(positions, np.random.default_rng(3))
    step = np.linalg.norm(
        positions[place].reshape(20, 20, 2)[:, 1:] - positions[place].reshape(20, 20, 2)[:, :-1], axis=-1
    )
    assert (place != np.arange(400)).mean() > 0.9 and np.quantile(step, 0.9) < 2


def test_a_panel_without_known_pairs_gives_an_empty_table(slides, sections, model, tmp_path, monkeypatch):
    """Other samples of the run may measure some: it is no error of a person."""
    monkeypatch.setattr("tissuemake.models.sagefm.encode.load_sagefm", lambda path, gpus: model)
    filtered = written(tmp_path, "toy", sections[0])
    perturb_spots(filtered, "model", tmp_path / "p.parquet")
    table = read_table(tmp_path / "p.parquet", PERTURBATION)
    (said,) = table.attrs["tissuemake"]["findings"]
    assert table.empty and said["level"] == "info" and "liana's consensus resource" in said["message"]
    write_table(slides[0], tmp_path / "other.parquet", PERTURBATION)
    perturb_cohort([tmp_path / "p.parquet", tmp_path / "other.parquet"], tmp_path / "both.parquet")
    both = read_table(tmp_path / "both.parquet", PERTURBATION)
    assert (both["slides"] == 1).all() and both["zscore"].notna().all()
    perturb_cohort([tmp_path / "p.parquet"], tmp_path / "none.parquet")
    assert read_table(tmp_path / "none.parquet", PERTURBATION).empty


def test_a_table_of_which_a_sample_measured_nothing_or_a_small_sample_gives_an_empty_table(
    sections, model, pairs, tmp_path, monkeypatch
):
    monkeypatch.setattr("tissuemake.models.sagefm.encode.load_sagefm", lambda path, gpus: model)
    (tmp_path / "mine.tsv").write_text("ligand\treceptor\nTNF\tTNFRSF1A\n")
    asked = {
        "no_pairs": (sections[0], tmp_path / "mine.tsv", "warn", "mine.tsv"),
        "few_spots": (sections[0][:49].copy(), pairs, "info", "49 observations"),
    }
    for code, (adata, table, level, says) in asked.items():
        perturb_spots(written(tmp_path, code, adata), "model", tmp_path / f"{code}.parquet", pairs=table)
        found = read_table(tmp_path / f"{code}.parquet", PERTURBATION)
        (said,) = found.attrs["tissuemake"]["findings"]
        assert found.empty and (said["code"], said["level"]) == (code, level) and says in said["message"]
    perturb_cohort([tmp_path / f"{code}.parquet" for code in asked], tmp_path / "both.parquet")
    both = read_table(tmp_path / "both.parquet", PERTURBATION)
    assert both.empty and len(both.attrs["tissuemake"]["findings"]) == 2
    with pytest.raises(InputError, match="does not exist"):
        perturb_spots(
            written(tmp_path, "no", sections[0]), "model", tmp_path / "x.parquet", pairs=tmp_path / "no"
        )


def test_a_file_in_a_file_out(sections, model, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr("tissuemake.models.sagefm.encode.load_sagefm", lambda path, gpus: model)
    filtered = written(tmp_path, "toy", sections[0])
    perturb_spots(filtered, "model", tmp_path / "p.parquet", pairs=pairs, seed=4)
    table = read_table(tmp_path / "p.parquet", PERTURBATION)
    assert len(table) == toy_signals.SENDERS and table.attrs["tissuemake"]["seed"] == 4
