"""The table of the spatial benchmarks: who wins, who is a bar, who is a control, and what things cost."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import spatial_layers, spatial_scale, spatial_scale_rows
from benchmarks.kept_run import write_scores
from benchmarks.score_rows import COLUMNS, Cost, as_table, costing, rows
from benchmarks.spatial_graph import SCRIPT
from benchmarks.spatial_network import Bench
from benchmarks.spatial_run import run
from benchmarks.spatial_table import is_control, is_ours, overview, render, summary

PROBLEM = "DLPFC 151673 -> 151674"


def table(values: dict[str, list[float]], problem: str = PROBLEM, metric: str = "r") -> pd.DataFrame:
    """Rows of one line: values by method, one for each seed."""
    return as_table(
        row
        for method, scores in values.items()
        for seed, value in enumerate(scores)
        for row in rows("masked genes", problem, method, seed, {metric: value}, Cost(2.0 + seed, 300.0))
    )


@pytest.mark.parametrize(("value", "reached"), [(0.31, False), (0.33, True)])
def test_the_model_must_beat_every_baseline_and_the_number_that_was_asked_for(value, reached):
    found = summary(table({"own PCA 20 + ridge": [0.28], "sagefm": [value]}))
    assert found.set_index("method").loc["sagefm", "reached"] == reached
    assert (found["bar"] == 0.32).all()
    other = summary(table({"own PCA 20 + ridge": [0.34], "sagefm": [0.33]}, problem="bulb"))
    assert (other["bar"] == 0.34).all() and not other["reached"].any()
    assert other.set_index("method")["winner"].to_dict() == {"own PCA 20 + ridge": True, "sagefm": False}


def test_a_control_and_the_ceiling_neither_win_nor_raise_the_bar():
    given = {
        "own PCA 20 + ridge": [0.2],
        "sagefm, neighbours shuffled": [0.5],
        "noise ceiling": [0.9],
        "sagefm": [0.3],
    }
    found = summary(table(given, problem="bulb")).set_index("method")
    assert (found["bar"] == 0.2).all()
    assert found.index[found["winner"]].tolist() == ["sagefm"]
    assert found.index[found["reached"]].tolist() == ["sagefm"]


def test_readings_of_the_model_are_ours_and_other_methods_are_not():
    assert is_ours("sagefm") and is_ours("sagefm + mclust") and is_ours("sagefm, smoothed + k-means")
    assert not is_ours("clique recipe") and not is_ours("PCA + k-means")
    assert is_control("sagefm, coordinates turned") and not is_ours("sagefm, coordinates turned")


def test_the_median_of_seeds_stands_with_half_of_their_range_and_its_cost():
    found = summary(table({"sagefm": [0.1, 0.2, 0.4]}, problem="bulb"))
    assert found["median"][0] == 0.2 and found["seconds"][0] == 3.0
    text = render(found)
    assert "0.200" in text and "±0.150" in text and "| 3.0 " in text and "| 300 " in text


def test_a_row_of_fewer_seeds_than_its_neighbours_says_so():
    text = render(summary(table({"PCA + mixture": [0.1, 0.2], "sagefm": [0.3], "MOFA": [0.2, 0.3]})))
    assert "| sagefm (1 seed) " in text and "| PCA + mixture " in text and "2 seeds" not in text


def test_methods_are_compared_on_the_seeds_that_the_model_has():
    given = table({"PCA + mixture": [0.2, 0.6, 0.8], "sagefm": [0.3]}, problem="bulb")
    found = summary(given).set_index("method")
    assert found.loc["PCA + mixture", "median"] == 0.6 and (found["bar"] == 0.2).all()
    assert found.loc["sagefm", "reached"] and found.loc["sagefm", "winner"]
    assert not found.loc["PCA + mixture", "winner"] and "0.200 (PCA + mixture)" in overview(summary(given))


def test_the_overview_sets_the_best_reading_beside_the_best_baseline():
    given = {
        "PCA + k-means": [0.2],
        "PCA + mixture": [0.6],
        "sagefm + k-means": [0.3],
        "sagefm + mixture": [0.7],
    }
    given |= {"sagefm, neighbours shuffled": [0.9], "noise ceiling": [1.0]}
    text = overview(summary(table(given)))
    assert "0.600 (PCA + mixture)" in text and "0.700 (sagefm + mixture)" in text and "✓" in text
    assert "0.32" in text and "0.9" not in text
    assert overview(summary(table({"PCA + k-means": [0.2]}))) == ""
    below = overview(summary(table({"PCA + k-means": [0.9], "sagefm": [0.3]})))
    assert "✓" not in below and "| 0.300 " in below


def test_numbers_of_things_have_no_winner():
    found = summary(table({"PCA": [7.0], "sagefm": [9.0]}, metric="domains"))
    assert not found["winner"].any() and not found["reached"].any()
    assert "to beat" not in render(found)


def test_cost_is_that_of_the_block_alone():
    with costing() as small:
        pass
    with costing() as large:
        kept = np.ones(40_000_000 // 8)
    assert kept.sum() and large.peak_memory_mb > small.peak_memory_mb + 25
    with costing() as after:
        del kept
    assert 0 <= after.seconds < 5
    both = Cost(1.0, 10.0).and_before(Cost(2.0, 30.0))
    assert both == Cost(3.0, 30.0)


def test_what_was_asked_before_and_not_now_stays_in_the_file(tmp_path):
    path = tmp_path / "spatial_graph.parquet"
    write_scores(table({"a": [0.1], "b": [0.2]}), path, SCRIPT)
    found = write_scores(table({"b": [0.3]}), path, SCRIPT)
    assert found.set_index("method")["value"].to_dict() == {"a": 0.1, "b": 0.3}
    assert set(COLUMNS) <= set(found.columns)
    kept = pd.read_parquet(path)
    assert kept["seconds"].notna().all() and (kept["task"] == "spatial_graph").all()


def test_scale_has_a_row_for_each_stage_and_one_seed(tmp_path, monkeypatch):
    asked = []

    def measure(stages, sizes, work):
        asked.append((stages, sizes))
        cost = {"seconds": 3.0, "CPU seconds": 2.0, "us per cell": 200.0, "peak MB": 500.0}
        return pd.DataFrame([{"stage": stages[0], "cells": sizes[0], **cost}])

    monkeypatch.setattr(spatial_scale, "measure", measure)
    bench = Bench(tmp_path, tmp_path)
    problem, stage = next(spatial_scale_rows.parts("scale"))
    found = as_table(spatial_scale_rows.score(bench, "scale", problem, stage, 0))
    assert asked == [([stage], [10_000])]
    assert found["seconds"].tolist() == [2.0, 2.0] and found["peak_memory_mb"].tolist() == [500.0, 500.0]
    assert not list(spatial_scale_rows.score(bench, "scale", problem, stage, 1)) and len(asked) == 1
    assert not summary(found)["winner"].any()


def test_what_was_measured_is_shown_and_nothing_is_measured_anew(tmp_path, monkeypatch):
    asked = []

    def score(bench, test, problem, method, seed):
        asked.append((method, seed))
        return rows(test, problem.name, method, seed, {"ARI": 0.5}, Cost(1.0, 1.0))

    monkeypatch.setattr(spatial_layers, "score", score)
    monkeypatch.setattr(spatial_layers.peers, "python", lambda name: None)
    bench, only = Bench(tmp_path, tmp_path), ["PCA + k-means", "PCA + mixture"]
    assert run(bench, ["layers"], [0], only, measure=False).empty and not asked
    assert len(run(bench, ["layers"], [1], only[:1])) == 2 and asked == [("PCA + k-means", 1)] * 2
    found = run(bench, ["layers"], [0, 1], only, measure=False)
    assert len(found) == 2 and set(found["seed"]) == {1} and len(asked) == 2
