"""The table of the image benchmarks: who wins, who is a bar, and what counts as reached."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import histology_curve
from benchmarks.histology_encoders import Bench
from benchmarks.histology_expression import Asked, by_baseline
from benchmarks.histology_rows import COLUMNS, as_table, rows
from benchmarks.histology_table import render, summary

C4 = "her2st C2+C3 -> C4"
PCC = "PCC top 250"


def table(values: dict[str, list[float]], problem: str = C4, metric: str = PCC) -> pd.DataFrame:
    """Rows of one line: values by method, one for each seed."""
    return as_table(
        row
        for method, scores in values.items()
        for seed, value in enumerate(scores)
        for row in rows("expression", problem, method, seed, {metric: value})
    )


def test_rows_have_one_shape():
    assert list(table({"color, ridge": [0.3]}).columns) == COLUMNS


def test_the_median_of_seeds_stands_with_half_of_their_range():
    found = summary(table({"spafoundation, ridge": [0.1, 0.2, 0.4]})).iloc[0]
    assert found["median"] == 0.2 and found["spread"] == pytest.approx(0.3) and found["seeds"] == 3
    assert "0.200" in render(
        summary(table({"spafoundation, ridge": [0.1, 0.2, 0.4]}))
    ) and "±0.150" in render(summary(table({"spafoundation, ridge": [0.1, 0.2, 0.4]})))


@pytest.mark.parametrize(("value", "reached"), [(0.39, False), (0.41, True)])
def test_the_pretrained_encoder_must_beat_all_bars_and_the_number_that_was_asked_for(value, reached):
    found = summary(table({"color, ridge": [0.3], "neighbour mean": [0.35], "spafoundation, ridge": [value]}))
    assert found.set_index("method").loc["spafoundation, ridge", "reached"] == reached
    assert (found["bar"] == 0.40).all()
    other = summary(
        table(
            {"neighbour mean": [0.35], "spafoundation, ridge": [0.34], "color, ridge": [0.3]},
            problem="another",
        )
    )
    assert (other["bar"] == 0.35).all() and not other["reached"].any()


def test_what_reads_the_section_and_the_ceiling_never_win_and_bars_reach_nothing():
    found = summary(
        table(
            {
                "neighbour mean": [0.6],
                "noise ceiling": [0.7],
                "color, ridge": [0.5],
                "spafoundation, ridge": [0.4],
            }
        )
    ).set_index("method")
    assert found.index[found["winner"]].tolist() == ["color, ridge"]
    assert not found["reached"].any()


def test_scores_are_of_genes_in_their_order_and_over_their_ceiling():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(80, 260))
    predicted = truth.copy()
    predicted[:, 50:] = rng.normal(size=(80, 210))
    total = np.exp(rng.normal(8, 0.3, 80))
    asked = Asked(
        [f"g{i}" for i in range(260)],
        truth,
        total,
        rng.uniform(size=(80, 2)),
        np.full(260, 0.5),
        np.full(260, 0.4),
    )
    found = asked.scores(predicted)
    assert found["PCC top 50"] == pytest.approx(1) and found["PCC top 250"] < 0.35
    assert found["over ceiling top 50"] == pytest.approx(2)
    assert 0.9 < found["depth-adjusted PCC top 50"] < 1
    neighbours = by_baseline(None, None, asked, "neighbour mean")
    assert neighbours.shape == truth.shape and abs(asked.scores(neighbours)["PCC top 250"]) < 0.2


def test_the_learning_curve_asks_each_number_of_tiles_of_its_own_encoder(monkeypatch, tmp_path):
    seen = []

    def score(bench, problem, asked, method, seed):
        seen.append((method, bench.tiles))
        yield from rows("expression", problem.name, method, seed, {PCC: 0.5})

    monkeypatch.setattr(histology_curve.expression, "ask", lambda bench, problem: None)
    monkeypatch.setattr(histology_curve.expression, "score", score)
    found = as_table(histology_curve.rows(Bench(tmp_path, tmp_path), 0))
    assert set(found["test"]) == {"learning curve"}
    assert list(dict.fromkeys(found["method"])) == ["no tiles", "400 tiles", "1600 tiles", "all tiles"]
    assert set(seen) == {
        ("untrained, ridge", 0),
        *(("spafoundation, ridge", tiles) for tiles in (400, 1600, 0)),
    }
