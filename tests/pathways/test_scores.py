"""Scores find a planted programme, compare across sections, and are not library size in disguise."""

import numpy as np
import pandas as pd
import pytest

from tissuemake import contracts
from tissuemake.errors import InputError
from tissuemake.pathways import values
from tissuemake.pathways.scaling import cohort_scaling, fit_scaling
from tissuemake.pathways.scores import (
    METHODS,
    depth_correlation,
    pathway_scores,
    score_pathways,
    without_depth,
)
from tissuemake.pathways.values import log_depth

from .conftest import GENES, SPOTS, make_section


@pytest.mark.parametrize("method", METHODS)
def test_a_planted_programme_is_found_and_depth_is_not(section, sets, method):
    scores = pathway_scores(section, sets, method=method, depth="corrected")
    truth = section.obs["programme"].to_numpy()
    found = {name: abs(np.corrcoef(scores[name], truth)[0, 1]) for name in scores}
    # AUCell asks of 300 genes for the 15 first.
    assert found.pop("PROGRAMME") > (0.5 if method == "aucell" else 0.8)
    assert max(found.values()) < 0.5
    assert max(map(abs, scores.attrs["depth_r"].values())) < 0.01
    assert scores.index.equals(section.obs_names) and set(scores.dtypes) == {np.dtype("float32")}


def test_published_scores_are_library_size_and_residuals_are_not(section, sets):
    published = pathway_scores(section, sets, depth="published").attrs["depth_r"]
    assert np.mean(list(published.values())) > 0.4
    scores = pathway_scores(section, sets)
    assert max(map(abs, scores.attrs["depth_r"].values())) < 0.25
    assert np.corrcoef(scores["PROGRAMME"], section.obs["programme"])[0, 1] > 0.8


def test_residuals_keep_an_activity_that_follows_depth_and_regression_removes_it(section, sets):
    """Deep spots that are also active: without a model of depth nobody could tell; taking depth out takes activity."""
    order = np.argsort(np.argsort(section.obs["programme"].to_numpy()))
    depth = np.sort(log_depth(section))
    keep = np.exp(depth - depth.max())[order]
    thin = section.copy()
    rng = np.random.default_rng(1)
    share = np.minimum(1.0, keep * np.exp(depth.max() - log_depth(section)))
    counts = thin.layers["counts"].tocsr()
    counts.data = rng.binomial(counts.data.astype(int), np.repeat(share, np.diff(counts.indptr))).astype(
        np.float32
    )
    thin.layers["counts"] = counts
    truth = thin.obs["programme"].to_numpy()
    assert np.corrcoef(truth, log_depth(thin))[0, 1] > 0.5
    left = np.corrcoef(pathway_scores(thin, sets)["PROGRAMME"], truth)[0, 1]
    regressed = np.corrcoef(pathway_scores(thin, sets, depth="corrected")["PROGRAMME"], truth)[0, 1]
    assert left > 0.75 and left > regressed + 0.05


def test_mean_z_is_what_decoupler_calls_a_weighted_mean(section, sets):
    import decoupler

    scores = pathway_scores(section, sets, depth="published")
    scaling = cohort_scaling([section])
    z = (section.X.toarray() - scaling["published_mean"].to_numpy()) / scaling["published_sd"].to_numpy()
    net = pd.DataFrame([(name, gene) for name, genes in sets.items() for gene in genes])
    net.columns = ["source", "target"]
    frame = pd.DataFrame(z, index=section.obs_names, columns=section.var_names)
    theirs, _ = decoupler.mt.waggr(frame, net, fun="wmean", times=0, tmin=1)
    assert np.allclose(scores, theirs[scores.columns], atol=1e-4)


def test_blocks_of_rows_change_nothing(section, sets, monkeypatch):
    whole = pathway_scores(section, sets)
    monkeypatch.setattr(values, "ROWS", 37)
    assert np.allclose(whole, pathway_scores(section, sets), atol=1e-5)


def test_the_cohort_gives_the_scale(section, sets):
    """Half of the spots get the scores that they have among all; by itself each half would be its own zero."""
    scaling = cohort_scaling([section])
    order = np.argsort(section.obs["programme"].to_numpy())
    upper = section[order[SPOTS // 2 :]].copy()
    whole = pathway_scores(section, sets, scaling, depth="published")
    part = pathway_scores(upper, sets, scaling, depth="published")
    assert np.allclose(part, whole.loc[part.index], atol=1e-5)
    assert pathway_scores(upper, sets, scaling)["PROGRAMME"].mean() > 0.2
    assert abs(pathway_scores(upper, sets)["PROGRAMME"].mean()) < 0.05


def test_a_panel_is_scored_by_the_genes_it_shares(section, sets):
    scaling = cohort_scaling([section, make_section("other", 1)])
    panel = section[:, list(range(0, GENES, 2))].copy()
    scores = pathway_scores(panel, sets, scaling)
    assert scores.attrs["genes"]["PROGRAMME"] == 10
    assert np.corrcoef(scores["PROGRAMME"], section.obs["programme"])[0, 1] > 0.7


def test_genes_that_the_cohort_never_measured_are_left_out(section, sets):
    scaling = cohort_scaling([section]).drop(sets["OTHER_0"])
    scores = pathway_scores(section, sets, scaling)
    assert scores.attrs["left_out"] == ["OTHER_0"]
    assert np.isfinite(scores.to_numpy()).all()


def test_depth_is_taken_out_and_the_mean_stays():
    rng = np.random.default_rng(0)
    depth = rng.normal(8, 1, 300)
    rest = rng.normal(size=300)
    scores = pd.DataFrame({"a": 3 + 0.5 * depth - 0.1 * depth**2 + rest, "flat": 2.0})
    left = without_depth(scores, depth)
    assert abs(depth_correlation(left, depth)["a"]) < 1e-4
    assert abs(np.corrcoef(left["a"], depth**2)[0, 1]) < 0.01
    assert np.corrcoef(left["a"], rest)[0, 1] > 0.98
    assert np.allclose(left.mean(), scores.mean())
    assert depth_correlation(left, depth)["flat"] == 0
    assert without_depth(scores.head(5), depth[:5]).equals(scores.head(5))


def test_file_to_file_keeps_the_contracts(tmp_path, section, sets, gmt):
    filtered, scaling, output = (tmp_path / name for name in ("f.h5ad", "scaling.parquet", "scores.parquet"))
    contracts.write_anndata(section, filtered, contracts.FILTERED)
    fit_scaling([filtered], gmt, scaling)
    score_pathways(filtered, gmt, scaling, output)
    scores = contracts.read_table(output, contracts.PATHWAYS)
    record = scores.attrs["tissuemake"]
    assert list(scores.columns) == list(sets)
    assert record["method"] == "zscore" and record["depth"] == "residuals"
    assert record["scaled_by"] == ["toy"] and set(record["depth_r"]) == set(sets)
    assert record["seconds"] >= 0
    score_pathways(filtered, gmt, None, output, method="ulm", depth="published")
    record = contracts.read_table(output, contracts.PATHWAYS).attrs["tissuemake"]
    assert record["scaled_by"] == "the section itself" and record["method"] == "ulm"


@pytest.mark.parametrize("wrong", [{"method": "gsva"}, {"depth": "none"}])
def test_unknown_ways_are_refused(section, sets, wrong):
    with pytest.raises(InputError) as caught:
        pathway_scores(section, sets, **wrong)
    assert caught.value.code == "unknown_method"
    assert f"pathways.{next(iter(wrong))}" in caught.value.remedy


def test_log_depth_is_of_counts(section):
    assert np.allclose(log_depth(section), np.log(section.obs["total_counts"]))


def test_a_panel_without_any_set_gets_no_scores_and_the_reason(tmp_path, section, gmt):
    filtered, output = tmp_path / "f.h5ad", tmp_path / "scores.parquet"
    contracts.write_anndata(section[:, 60:70].copy(), filtered, contracts.FILTERED)
    gmt.write_text("FAR\t\tGENE1\tGENE2\tGENE3\tGENE4\tGENE5\tGENE6\n")
    score_pathways(filtered, gmt, None, output)
    scores = contracts.read_table(output, contracts.PATHWAYS)
    assert scores.shape == (SPOTS, 0) and scores.index.equals(section.obs_names)
    assert "FAR (0)" in scores.attrs["tissuemake"]["reason"]
