"""Labels learnt on other donors are scored where nobody saw the answer, and beside the most frequent label."""

import numpy as np
import pandas as pd
import pytest

from tissuemake.evaluation.annotation_scores import annotation, macro_f1

SPOTS = [f"s{i}" for i in range(10)]
TRUTH = pd.Series(["cortex"] * 6 + ["medulla"] * 2 + ["artefact"] * 2, index=SPOTS)


def learnt(labels: list, seen: bool = False, taught: tuple = ("cortex", "medulla")) -> pd.DataFrame:
    table = pd.DataFrame({"label": labels, "probability": 0.9, "seen": seen}, index=SPOTS)
    table.attrs["tissuemake"] = {"labels": list(taught)}
    return table


def value(scores, method, metric):
    return next(value for name, found, value in scores if (name, found) == (method, metric))


def test_accuracy_and_f1_stand_beside_the_most_frequent_label():
    found = learnt(["cortex"] * 5 + ["medulla"] * 3 + ["cortex"] * 2)
    scores = annotation({"sagefm": found}, TRUTH, ["artefact"])
    assert value(scores, "sagefm", "spots") == 8
    assert value(scores, "sagefm", "accuracy") == pytest.approx(7 / 8)
    assert value(scores, "sagefm", "macro_f1") == pytest.approx((10 / 11 + 4 / 5) / 2)
    assert value(scores, "majority", "accuracy") == pytest.approx(6 / 8)
    assert value(scores, "majority", "macro_f1") == pytest.approx((12 / 14 + 0) / 2)


def test_a_label_that_was_never_taught_counts_as_missed_and_is_told():
    scores = annotation({"sagefm": learnt(["cortex"] * 10)}, TRUTH)
    assert value(scores, "sagefm", "taught") == pytest.approx(0.8)
    assert value(scores, "sagefm", "accuracy") == pytest.approx(0.6)


def test_what_the_probe_saw_scores_nothing_and_spots_without_an_answer_are_left_out():
    assert annotation({"sagefm": learnt(["cortex"] * 10, seen=True)}, TRUTH) == []
    half = learnt([*TRUTH[:5], *[None] * 5])
    scores = annotation({"sagefm": half}, TRUTH)
    assert value(scores, "sagefm", "spots") == 5 and value(scores, "sagefm", "accuracy") == 1


def test_macro_f1_is_that_of_scikit_learn():
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    truth, found = (pd.Series(rng.choice(list("abc"), 60)) for _ in range(2))
    assert macro_f1(found, truth) == pytest.approx(f1_score(truth, found, average="macro"))
