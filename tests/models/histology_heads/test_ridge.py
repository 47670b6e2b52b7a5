"""The head of genes: what its recipe leaves out, and how its penalty is chosen."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from tissuemake.models.histology_heads.ridge import HEST, SECTION, Section, around, describe, fit_head

SPOTS, FEATURES, GENES = 100, 20, 30


def section(seed: int, shift: float = 0.0, group: str = "", noise: float = 1.0) -> Section:
    """Genes that follow the features by one law, a tenth by depth as well; `shift` moves and stretches all features."""
    rng = np.random.default_rng(seed)
    law = np.random.default_rng(99).normal(size=(FEATURES, GENES)) / np.sqrt(FEATURES)
    own = rng.normal(size=(SPOTS, FEATURES))
    depth = np.exp(rng.normal(8, 0.5, SPOTS))
    values = 3 + own @ law + noise * rng.normal(size=(SPOTS, GENES)) + np.log(depth)[:, None] - 8
    positions = np.stack(np.divmod(np.arange(SPOTS), 10), axis=1) * 100.0
    return Section(own * (1 + shift) + shift, values, depth, positions, group or f"g{seed}")


def test_the_protocol_is_scaler_components_and_ridge():
    one, two, new = (section(seed) for seed in (1, 2, 3))
    recipe = replace(HEST, components=12, alphas=(50.0,))
    found = fit_head([one, two], recipe).predict(new.features, new.positions)
    x, y = np.concatenate([one.features, two.features]), np.concatenate([one.values, two.values])
    scaler = StandardScaler().fit(x)
    pca = PCA(12, svd_solver="full").fit(scaler.transform(x))
    centred = np.concatenate([part.values - part.values.mean(axis=0) for part in (one, two)])
    ridge = Ridge(50.0, fit_intercept=False).fit(pca.transform(scaler.transform(x)), centred)
    expected = ridge.predict(pca.transform(scaler.transform(new.features))) + y.mean(axis=0)
    np.testing.assert_allclose(found, np.maximum(expected, 0), atol=1e-6)


def test_another_staining_falls_out_within_the_section_and_not_otherwise():
    taught, plain, stained = [section(1), section(2)], section(3), section(3, shift=4.0)
    within = fit_head(taught, replace(SECTION, ring=0))
    np.testing.assert_allclose(
        within.predict(plain.features, plain.positions),
        within.predict(stained.features, stained.positions),
        atol=1e-6,
    )
    without = fit_head(taught, HEST)
    assert not np.allclose(
        without.predict(plain.features, plain.positions), without.predict(stained.features, stained.positions)
    )


def test_a_feature_that_stands_still_says_nothing_wherever_it_moves_later():
    taught = [section(1), section(2)]
    still = [replace(part, features=np.c_[part.features, np.full(SPOTS, 5.0)]) for part in taught]
    new = section(3)
    moving = np.c_[new.features, np.linspace(-1e6, 1e6, SPOTS)]
    for recipe in (HEST, SECTION):
        head = fit_head(still, recipe)
        found = head.predict(moving, new.positions)
        expected = fit_head(taught, recipe).predict(new.features, new.positions)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_neighbours_are_the_nearest_and_an_island_has_itself():
    positions = np.array([[0.0, 0], [1, 0], [2, 0], [1000, 0]])
    values = np.array([[1.0], [2], [4], [9]])
    assert around(values, positions, 2).ravel().tolist() == [3, 2.5, 1.5, 9]
    assert around(values[:1], positions[:1], 2).ravel().tolist() == [1]
    assert describe(np.eye(4), positions, SECTION).shape == (4, 8)


def test_few_directions_predict_better_where_there_are_few():
    law = np.random.default_rng(5).normal(size=(2, 300))
    parts = []
    for seed in (1, 2, 3):
        part, rng = section(seed), np.random.default_rng(seed + 50)
        noisy = 9 + part.features[:, :2] @ law + 6 * rng.normal(size=(SPOTS, 300))
        clean = part.features[:, :2] @ law
        parts.append((replace(part, values=noisy), clean))
    taught, new, clean = [parts[0][0], parts[1][0]], parts[2][0], parts[2][1]
    error = {}
    for rank in (0, 2):
        recipe = replace(SECTION, ring=0, rank=rank, alphas=(1.0,))
        said = fit_head(taught, recipe).predict(new.features, new.positions)
        error[rank] = np.square(said - said.mean(axis=0) - clean).mean()
    assert error[2] < 0.6 * error[0]


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_so_much_of_depth_is_learnt_as_the_recipe_says(share):
    parts = []
    for seed in (1, 2):
        part = section(seed, noise=0.0)
        features = np.c_[np.log(part.total_counts), part.features[:, :1]]
        values = 5 + np.tile(np.log(part.total_counts)[:, None], (1, GENES))
        parts.append(replace(part, features=features, values=values))
    recipe = replace(HEST, depth_share=share, alphas=(1e-6,))
    said = fit_head(parts, recipe).predict(parts[0].features, parts[0].positions)
    slope = np.polyfit(np.log(parts[0].total_counts), said[:, 0], 1)[0]
    assert slope == pytest.approx(share, abs=0.01)


def test_the_penalty_is_large_where_nothing_can_be_learnt_and_small_where_all_can():
    alphas = (1.0, 1e6)
    recipe = replace(SECTION, ring=0, rank=0, alphas=alphas)
    clear = fit_head([section(seed, noise=0.05) for seed in (1, 2, 3)], recipe)
    assert clear.alpha == alphas[0]
    wide = [
        replace(section(seed), features=np.random.default_rng(seed).normal(size=(SPOTS, 90)))
        for seed in (1, 2)
    ]
    for part in wide:
        part.features[:, :FEATURES] *= 0.01
    lone = replace(section(4, noise=0.05))
    assert fit_head([lone], recipe).alpha == alphas[0], "blocks of a lone section choose too"


def test_predictions_are_not_negative():
    part = section(1)
    low = replace(part, values=part.values - 10)
    assert fit_head([low], SECTION).predict(part.features, part.positions).min() == 0
