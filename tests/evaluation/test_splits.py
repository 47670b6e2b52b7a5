"""No donor stands on both sides."""

import numpy as np
import pandas as pd
import pytest

from tissuemake.evaluation.splits import donor_folds, train_and_test


@pytest.fixture
def donors():
    names = [f"d{i % 7}" for i in range(23)] + ["", np.nan]
    return pd.Series(names, index=[f"sample{i}" for i in range(25)])


def test_donors_stay_together_and_folds_are_even(donors):
    folds = donor_folds(donors, 3)
    assert folds[donors.notna() & (donors != "")].groupby(donors).nunique().max() == 1
    assert set(folds) == {0, 1, 2}
    assert folds.value_counts().max() - folds.value_counts().min() <= 3


def test_samples_without_donor_are_their_own(donors):
    folds = donor_folds(pd.Series(["", "", np.nan, ""], index=list("abcd")), 4)
    assert folds.nunique() == 4


def test_train_and_test_share_no_donor(donors):
    tested = []
    for fold in range(3):
        train, test = train_and_test(donors, fold, 3)
        named = set(donors[train].dropna()) - {""}
        assert not named & set(donors[test].dropna())
        tested += list(test)
    assert sorted(tested) == sorted(donors.index)


def test_more_folds_than_donors(donors):
    assert donor_folds(pd.Series(["a", "a", "b"], index=list("xyz")), 5).nunique() == 2
