"""The pathway benchmark: what baselines know, what is counted as found, and who is judged by what."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from benchmarks import pathways_answers as answers
from benchmarks import pathways_her2st as her2st
from benchmarks import pathways_scale as scale
from benchmarks.histology_sections import HALVES, PLANTED, _split
from benchmarks.kept_run import Bench
from benchmarks.pathways import MODULES
from benchmarks.pathways_data import BINS, colour_histogram, planted_problem
from benchmarks.pathways_genes import beside_random
from benchmarks.pathways_simulated import ADJUSTED, HIDDEN, LOWEST, VISIBLE, by_kind, profile_agreement
from benchmarks.pathways_table import STATED, overview, render, summary
from benchmarks.score_rows import Cost, as_table, rows
from tissuemake.contracts import FILTERED, read_anndata, write_anndata
from tissuemake.models.histology_heads.ridge import Section
from tissuemake.models.quadflow.architecture import PRESETS

N = 120


def section(seed: int, group: str = "a") -> Section:
    """Two pathways: the first follows a feature, the second library size."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(N, 6))
    depth = rng.normal(8, 0.4, N)
    values = np.column_stack([features[:, 0] + rng.normal(0, 0.3, N), depth + rng.normal(0, 0.1, N)])
    return Section(features, values, np.exp(depth), rng.uniform(0, 3000, (N, 2)), group)


def test_baselines_know_what_they_are_named_after():
    taught, asked = [section(0), section(1)], section(2)
    said = {name: answers.by_baseline(taught, asked, name, 0) for name in answers.BASELINES}
    r = {name: her2st.gene_correlations(values, asked.values) for name, values in said.items()}
    assert np.ptp(said[answers.MEAN], axis=0).max() == 0
    assert r[answers.LIBRARY][1] > 0.95 and abs(r[answers.LIBRARY][0]) < 0.3
    assert r[answers.RIDGE][0] > 0.8 and abs(r[answers.POSITION]).max() < 0.4
    signed = answers.by_baseline([section(0)], asked, answers.RIDGE, 0)
    assert signed.min() < 0, "scores are signed: the answer is not cut off at zero as genes are"


def test_position_reads_the_place_alone():
    taught, asked = section(0), section(1)
    places = [part.positions[:, 0] for part in (taught, asked)]
    taught, asked = (
        Section(part.features, np.column_stack([x, x]), part.total_counts, part.positions, "a")
        for part, x in zip((taught, asked), places, strict=True)
    )
    said = answers.by_baseline([taught], asked, answers.POSITION, 0)
    assert np.corrcoef(said[:, 0], asked.values[:, 0])[0, 1] > 0.95


def test_scores_are_of_spots_that_were_answered_and_collapse_is_seen():
    truth = pd.DataFrame(section(0).values, columns=["A", "B"], index=[f"s{i}" for i in range(N)])
    total = pd.Series(section(0).total_counts, index=truth.index)
    same = her2st.pathway_scores(truth.iloc[10:], truth, total)
    assert same["PCC"] == pytest.approx(1) and same[her2st.VARIANCE] == pytest.approx(1)
    assert same["depth-adjusted PCC"] < 0.8, "one of the two is library size"
    assert same[her2st.ALIVE] == 1
    small = her2st.pathway_scores(truth * 0.1, truth, total)
    assert small[her2st.VARIANCE] == pytest.approx(0.01) and small[her2st.ALIVE] == 0
    assert small["PCC"] == pytest.approx(1)
    half = her2st.pathway_scores(truth[["A"]], truth, total)
    assert half["PCC"] == pytest.approx(0.5), "what was not said is worth nothing"


def test_histograms_are_shares_by_channel():
    pixels = np.zeros((2, 4, 4, 3), np.uint8)
    pixels[1, :2, :, 0] = 255
    found = colour_histogram(pixels)
    assert found.shape == (2, 3 * BINS) and found.sum(axis=1) == pytest.approx([3, 3])
    assert found[1, [0, BINS - 1]].tolist() == [0.5, 0.5] and found[0, 0] == 1


def test_random_sets_are_of_equal_size_and_like_expression():
    genes = [f"g{i}" for i in range(400)]
    rng = np.random.default_rng(0)
    level = pd.Series(rng.uniform(size=400), index=genes)
    # Whatever is well expressed is well predicted, in a set or not.
    correlation = level + rng.normal(0, 0.01, 400)
    high = list(level.sort_values().index[-60:])
    inside, random = beside_random(correlation, {"HIGH": high[::2]}, level, 0)
    assert inside > 0.85 and inside - random < 0.03
    better = correlation.copy()
    better[high[::2]] += 0.2
    inside, random = beside_random(better, {"HIGH": high[::2]}, level, 0)
    assert inside - random > 0.15


def test_programmes_are_scored_by_what_they_follow():
    rng = np.random.default_rng(0)
    truth = pd.DataFrame(rng.normal(size=(N, 4)), columns=list("ABCD"))
    kinds = pd.Series(["front", "zone", "nuclei", "hidden"], index=list("ABCD"))
    said = truth.assign(C=rng.normal(size=N), D=rng.normal(size=N))
    found = by_kind(said, truth, kinds, np.exp(rng.normal(8, 1, N)))
    assert found["r, border"] == pytest.approx(1) and found["r, zones"] == pytest.approx(1)
    assert abs(found[HIDDEN]) < 0.3 and found[LOWEST] == pytest.approx(found["r, nuclei"])
    assert found[VISIBLE] == pytest.approx((2 + found["r, nuclei"]) / 3)
    depth = np.exp(truth["A"].to_numpy() + 8)
    assert by_kind(said, truth, kinds, depth)[ADJUSTED] < found[ADJUSTED] - 0.2


def test_a_border_profile_is_found_or_not():
    x, y = (axis.ravel() * 100.0 for axis in np.meshgrid(np.arange(14), np.arange(14)))
    distance = x - 650
    truth = pd.DataFrame({"FRONT": np.exp(-np.abs(distance) / 120)})
    rng = np.random.default_rng(0)
    positions = np.column_stack([x, y])
    found = profile_agreement(positions, 3 * truth + 5, distance, truth, distance)
    assert found == pytest.approx(1)
    noise = pd.DataFrame({"FRONT": rng.normal(size=len(x))})
    assert profile_agreement(positions, noise, distance, truth, distance) < 0.7
    inside_out = profile_agreement(positions, -truth, distance, truth, distance)
    assert inside_out == pytest.approx(-1)


def test_each_ablation_takes_one_part_away():
    bench = Bench(None, None)
    whole = answers._preset(bench, answers.QUADFLOW)
    assert whole == PRESETS["tiny"]
    for part in answers.WITHOUT:
        assert answers._preset(bench, f"{answers.QUADFLOW}, {part}") != whole
    local = answers._preset(bench, f"{answers.QUADFLOW}, H-H off").architecture.flows
    assert not local.patches_to_patches and local.pathways_read_patches
    assert answers._preset(bench, f"{answers.QUADFLOW}, PCC loss off").weights.correlation == 0
    assert answers._preset(Bench(None, None, steps=3), answers.QUADFLOW).schedule.steps == 3


def test_every_test_has_its_parts_and_no_part_stands_twice():
    from importlib import import_module

    for test, module in MODULES.items():
        parts = [(problem.name, method) for problem, method in import_module(module).parts(test)]
        assert parts and len(set(parts)) == len(parts), test


def test_what_has_no_chance_in_it_is_asked_once():
    problem, _ = next(her2st.parts(her2st.PATHWAYS_TEST))
    assert not list(her2st.score(None, her2st.PATHWAYS_TEST, problem, answers.MEAN, 1))


def table(line: tuple[str, str, str], values: dict[str, float]) -> pd.DataFrame:
    """Rows of one line and seed."""
    test, problem, metric = line
    return as_table(
        row
        for method, value in values.items()
        for row in rows(test, problem, method, 0, {metric: value}, Cost(1.0, 100.0))
    )


def test_quadflow_must_beat_baselines_and_what_the_issue_states():
    line = next(line for line, bar in STATED.items() if bar == 0.25)
    found = summary(table(line, {"ridge": 0.2, "quadflow": 0.24}))
    assert not found["reached"].any() and (found["bar"] == 0.25).all()
    found = summary(table(line, {"ridge": 0.3, "quadflow": 0.31}))
    assert found.set_index("method").loc["quadflow", "reached"] and (found["bar"] == 0.3).all()
    assert "0.310" in overview(found) and "0.31" in render(found)


def test_the_direct_ridge_is_no_bar_but_a_distance():
    line = next(line for line, bar in STATED.items() if bar == -0.02)
    found = summary(table(line, {"quadflow": -0.01}))
    assert found["reached"].all()
    assert not summary(table(line, {"quadflow": -0.03}))["reached"].any()
    genes = summary(table((*line[:2], "PCC"), {"direct ridge": 0.3, "quadflow": 0.29}))
    assert genes["bar"].isna().all()


def test_clocks_are_asked_once_and_have_no_winner(monkeypatch):
    asked = []

    def measure(spots, *, preset, flows):
        asked.append((spots, preset, flows.patches_to_patches))
        cost = {"seconds": 4.0, "cpu_seconds": 2.0, "megabytes": 500.0, "megabytes_per_1000": 10.0}
        return pd.DataFrame([cost])

    monkeypatch.setattr(scale.scale, "measure_scale", measure)
    *_, (problem, method) = scale.parts(scale.TEST)
    bench = Bench(None, None)
    assert not list(scale.score(bench, scale.TEST, problem, method, 1)) and not asked
    found = as_table(scale.score(bench, scale.TEST, problem, method, 0))
    assert asked == [([50_000], "tiny", False)]
    values = found.set_index("metric")["value"]
    assert values[scale.PER_PATCH] == pytest.approx(2e6 / 50_000) and values[scale.MEMORY] == 10
    assert not summary(found)["winner"].any()


def test_halves_of_planted_tissue_lie_above_each_other(tmp_path):
    rng = np.random.default_rng(0)
    counts = sp.csr_matrix(rng.poisson(1.0, (N, 5)).astype(np.float32))
    obs = {"in_tissue": True, "total_counts": 5.0, "n_genes_by_counts": 5}
    spots = ad.AnnData(counts, obs=pd.DataFrame(obs, index=[f"s{i}" for i in range(N)]))
    spots.var["gene_id"] = ""
    spots.layers["counts"] = counts
    spots.obsm["spatial"] = rng.uniform(0, 2000, (N, 2))
    spots.uns = {
        "tissuemake": {"sample": "a"},
        "spatial": {"a": {"scalefactors": {"microns_per_pixel": 1.0}}},
        "dropped": pd.DataFrame({"reason": []}),
    }
    write_anndata(spots, tmp_path / "filtered.h5ad", FILTERED)
    _split(tmp_path, HALVES[PLANTED])
    problem = planted_problem(3)
    assert problem.train == ("planted3-top",) and problem.test == "planted3-bottom"
    top, bottom = (read_anndata(tmp_path / f"{side}.h5ad", FILTERED) for side in HALVES[PLANTED])
    assert top.obsm["spatial"][:, 1].max() + 300 <= bottom.obsm["spatial"][:, 1].min()
