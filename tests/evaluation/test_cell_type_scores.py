"""Labels of cells are scored where their truth is known, foreign types by whether they are called unknown."""

import pandas as pd
import pytest

from tissuemake.contracts import UNKNOWN
from tissuemake.evaluation.cell_type_scores import cell_types

TRUE = ["T cell"] * 4 + ["B cell"] * 4 + ["Neuron"] * 2


def table(guess: list[str], sure: list[float]) -> pd.DataFrame:
    found = pd.DataFrame({"guess_transfer": guess, "confidence_transfer": sure}, index=list("abcdefghij"))
    found["cell_type_transfer"] = found["guess_transfer"].where(found["confidence_transfer"] >= 0.5, UNKNOWN)
    found.attrs["tissuemake"] = {
        "types": ["T cell", "B cell"],
        "hierarchy": {"major": {"T cell": "Immune", "B cell": "Immune"}},
    }
    return found


def truth(names: list[str]) -> pd.DataFrame:
    return pd.get_dummies(pd.Series(names, list("abcdefghij"))).astype(float)


def scored(found: pd.DataFrame, known: pd.DataFrame, **proportions) -> dict:
    return {(method, metric): value for method, metric, value in cell_types(found, known, proportions)}


def test_doubt_costs_no_accuracy_but_is_told():
    guess = ["T cell"] * 3 + ["B cell"] * 5 + ["T cell"] * 2
    found = scored(table(guess, [0.9] * 3 + [0.4, 0.4] + [0.9] * 3 + [0.2, 0.9]), truth(TRUE))
    assert found["transfer", "accuracy"] == pytest.approx(7 / 8)
    assert found["transfer", "labelled"] == pytest.approx(6 / 8)
    assert found["transfer", "accuracy_labelled"] == 1
    assert found["transfer", "foreign_unknown"] == 0.5 and found["transfer", "foreign_cells"] == 2
    assert found["majority", "accuracy"] == 0.5
    # 6 cells at 0.9 that are right, 2 at 0.4 of which one is.
    assert found["transfer", "ece"] == pytest.approx(6 / 8 * 0.1 + 2 / 8 * 0.1)
    assert found["transfer", "right[0.9 to 1.0]"] == 1 and found["transfer", "right[0.4 to 0.5]"] == 0.5


def test_the_largest_share_of_a_composition_stands_beside_it():
    shares = pd.DataFrame({"T cell": 0.6, "B cell": 0.4}, index=list("abcdefghij"))
    found = scored(table(["T cell"] * 10, [1.0] * 10), truth(TRUE), nnls=shares)
    assert found["nnls, largest share", "accuracy"] == 0.5


def test_a_truth_of_the_coarser_level_is_met_there():
    found = scored(table(["T cell"] * 10, [1.0] * 10), truth(["Immune"] * 8 + ["Neuron"] * 2))
    assert found["transfer", "accuracy"] == 1 and found["transfer", "cells"] == 8


def test_a_bin_without_a_main_type_is_not_scored():
    known = pd.DataFrame({"T cell": [0.6, 0.5] * 5, "B cell": [0.4, 0.5] * 5}, index=list("abcdefghij"))
    assert scored(table(["T cell"] * 10, [1.0] * 10), known)["transfer", "cells"] == 5
