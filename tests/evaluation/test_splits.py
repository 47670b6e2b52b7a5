"""No donor stands on both sides."""

import numpy as np
import pandas as pd
import pytest

from tissuemake.evaluation.splits import donor_folds, near_block, spatial_blocks, train_and_test


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


def test_blocks_are_compact_and_the_buffer_is_around_them():
    rows, columns = np.indices((20, 20)).reshape(2, -1)
    positions = np.column_stack([columns, rows]) * 100.0
    blocks = spatial_blocks(positions, 5)
    assert set(blocks) == set(range(5))
    alike = [
        np.mean(blocks[np.abs(positions - at).sum(1) == 100] == own)
        for at, own in zip(positions, blocks, strict=True)
    ]
    assert np.mean(alike) > 0.75
    np.testing.assert_array_equal(spatial_blocks(positions, 5), blocks)
    held_out = blocks == 2
    near = near_block(positions, held_out, 150.0)
    away = np.linalg.norm(positions[:, None] - positions[held_out], axis=2).min(1)
    np.testing.assert_array_equal(near, away <= 150)
    assert held_out.sum() < near.sum() < len(near)
    assert not near_block(positions, np.zeros(400, bool), 150.0).any()
