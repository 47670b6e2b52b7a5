"""The printed table: medians, spread, winners and targets."""

import pandas as pd
import pytest

from benchmarks.table import render, summary


def rows(values: dict[str, list[float]], test="simulated", problem="balanced", metric="r") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "test": test,
                "problem": problem,
                "metric": metric,
                "method": method,
                "seed": seed,
                "value": value,
            }
            for method, each in values.items()
            for seed, value in enumerate(each)
        ]
    )


def line(table: pd.DataFrame, method: str) -> pd.Series:
    return table.set_index("method").loc[method]


def test_median_and_spread_over_seeds():
    row = line(summary(rows({"nnls": [0.5, 0.9, 0.6]})), "nnls")
    assert (row["median"], row["seeds"]) == (0.6, 3)
    assert row["spread"] == pytest.approx(0.4)


def test_a_baseline_that_wins_is_the_winner_and_the_bar():
    table = summary(rows({"nnls": [0.7], "nnls_rescaled": [0.8], "sparank": [0.75]}))
    assert table.loc[table["winner"], "method"].tolist() == ["nnls_rescaled"]
    assert line(table, "sparank")["target"] == "> 0.800 (nnls_rescaled)"
    assert not line(table, "sparank")["reached"]


def test_who_knows_the_truths_mean_is_neither_winner_nor_bar():
    table = summary(rows({"mean_of_truth": [0.01], "nnls": [0.05], "sparank": [0.04]}, metric="RMSE"))
    assert table.loc[table["winner"], "method"].tolist() == ["sparank"]


def test_the_stated_bar_stands_where_baselines_are_lower():
    table = summary(rows({"nnls": [0.60], "sparank": [0.65]}, test="her2st", problem="her2st-A1"))
    row = line(table, "sparank")
    assert row["target"].startswith("> 0.620") and row["reached"]


@pytest.mark.parametrize(
    ("test", "metric", "value", "reached"),
    [
        ("transfer", "ratio", 0.91, True),
        ("transfer", "ratio", 0.89, False),
        ("intervals", "coverage", 0.86, False),
        ("intervals", "coverage", 0.90, True),
        ("intervals", "coverage of pairs that say something", 0.95, False),
        ("unknown", "AUROC", 0.85, True),
        ("unknown", "AUROC", 0.84, False),
        ("speed", "times faster than cell2location", 99.0, False),
        ("speed", "times faster than cell2location", 101.0, True),
    ],
)
def test_fixed_targets(test, metric, value, reached):
    row = line(summary(rows({"sparank": [value]}, test=test, metric=metric)), "sparank")
    assert row["target"] and row["reached"] == reached


def test_a_panel_is_held_against_nnls():
    table = summary(rows({"nnls": [0.8], "sparank": [0.82]}, test="panel", metric="ratio"))
    assert line(table, "sparank")["reached"] and "0.800" in line(table, "sparank")["target"]


def test_one_line_for_each_metric_and_a_column_for_each_method():
    both = pd.concat(
        [rows({"nnls": [0.7, 0.8], "sparank": [0.9, 0.9]}), rows({"sparank": [0.1]}, metric="RMSE")]
    )
    text = render(summary(both)).splitlines()
    assert len(text) == 4
    cells = [cell.strip() for cell in text[2].strip("|").split("|")]
    assert cells == ["simulated", "balanced", "r", "0.750 ±0.050", "**0.900** ✓", "> 0.750 (nnls)"]
    assert [cell.strip() for cell in text[3].strip("|").split("|")][3] == ""
