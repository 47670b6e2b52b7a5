"""Who won: by the metric that decides, and even when it is a baseline."""

import pandas as pd
import pytest

from tissuemake.contracts import EVALUATION
from tissuemake.reporting import scores


def evaluation(*rows: tuple) -> pd.DataFrame:
    full = [("s", "deconvolution", method, metric, value, 1.0, 1.0) for method, metric, value in rows]
    table = pd.DataFrame(full, columns=EVALUATION.columns)
    return table.assign(baseline=table["method"] == "uniform")


def test_the_winner_is_bold_even_if_it_is_a_baseline():
    found = evaluation(("nnls", "rmse", 0.2), ("uniform", "rmse", 0.1), ("nnls", "pearson", 0.6))
    (table,) = scores.tables(found)
    assert [metric["name"] for metric in table["metrics"]] == ["Pearson r", "RMSE"]
    bold = {row["method"]: [cell["best"] for cell in row["cells"]] for row in table["rows"]}
    assert bold == {"nnls": [True, False], "uniform": [False, True]}
    assert {row["method"]: row["baseline"] for row in table["rows"]} == {"nnls": False, "uniform": True}


@pytest.mark.parametrize(
    ("rows", "winner"),
    [
        ([("a", "pearson", 0.2), ("b", "pearson", 0.5), ("a", "rmse", 0.01)], "b"),
        ([("a", "rmse", 0.2), ("b", "rmse", 0.5)], "a"),
        ([("a", "pearson", float("nan")), ("uniform", "pearson", 0.0)], "uniform"),
        ([("a", "spots", 60.0), ("a", "agreement_with[b]", 0.9)], None),
    ],
)
def test_best_method(rows, winner):
    best = scores.best_method(evaluation(*rows), "deconvolution")
    assert (best and best["method"]) == winner


def test_facts_and_names_in_brackets_are_never_ranked():
    found = evaluation(
        ("a", "spots", 60.0), ("a", "pearson[T [x]]", 0.5), ("a", "agreement_with[b]", 0.9),
        ("b", "agreement_with[a]", 0.9),
    )  # fmt: skip
    (table,) = scores.tables(found)
    assert table["metrics"] == [{"name": "spots", "way": ""}]
    assert not table["rows"][0]["cells"][0]["best"]
    assert table["pairs"] == [{"left": "a", "right": "b", "value": 0.9}]
    assert table["details"] == [{"name": "Pearson r", "methods": ["a"], "rows": [("T [x]", [0.5])]}]


def test_a_cohort_compares_methods_on_the_same_samples():
    easy = evaluation(("a", "pearson", 0.9), ("b", "pearson", 0.8))
    hard = evaluation(("b", "pearson", 0.1)).assign(sample="hard")
    (table,) = scores.cohort_tables(pd.concat([easy, hard]))
    assert (table["samples"], table["of"]) == (1, 2)
    assert [row["cells"][0]["value"] for row in table["rows"]] == [0.9, 0.8]
    assert {winner["sample"]: winner["best"]["method"] for winner in table["winners"]} == {
        "s": "a",
        "hard": "b",
    }


def test_methods_that_see_the_image_alone_are_ranked_among_themselves():
    blind = evaluation(("neighbors", "held_out_r", 0.3), ("gene_mean", "held_out_r", 0.0)).assign(group="")
    image = evaluation(("color", "held_out_r", 0.5), ("gene_mean", "held_out_r", 0.0)).assign(group="image")
    both = pd.concat([blind, image]).assign(task="imputation")
    first, second = scores.tables(both)
    assert (first["task"], second["task"]) == ("imputation", "imputation, from the image alone")
    assert [row["method"] for row in first["rows"]] == ["neighbors", "gene_mean"]
    assert [row["method"] for row in second["rows"]] == ["color", "gene_mean"]
    assert all(table["rows"][0]["cells"][0]["best"] for table in (first, second))
    winners = [table["winners"][0]["best"]["method"] for table in scores.cohort_tables(both)]
    assert winners == ["neighbors", "color"]


def test_tumour_is_ranked_by_auroc():
    found = evaluation(("color", "auroc", 0.9), ("color", "auprc", 0.5), ("prevalence", "auroc", 0.5))
    (table,) = scores.tables(found.assign(task="tumor"))
    assert table["task"] == "tumour, from the image alone"
    assert [metric["name"] for metric in table["metrics"]] == ["AUROC", "AUPRC"]
    assert [row["method"] for row in table["rows"]] == ["color", "prevalence"]
