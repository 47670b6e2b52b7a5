"""Losses that are guarded, the masked gene layer, windows, surroundings, and how cost grows with the slide."""

import numpy as np
import pandas as pd
import pytest
import torch

from tissuemake.models.quadflow.architecture import Architecture
from tissuemake.models.quadflow.bottleneck import fit_gene_layer, masked_ridge, membership
from tissuemake.models.quadflow.losses import correlation_loss, roughness
from tissuemake.models.quadflow.neighbors import around, context
from tissuemake.models.quadflow.network import QuadflowNetwork, View
from tissuemake.models.quadflow.ridge import fit_ridge, in_directions
from tissuemake.models.quadflow.scale import answer_once, growth
from tissuemake.models.quadflow.section import standardised
from tissuemake.models.quadflow.train import Pupil, turned, window


def test_correlation_loss_is_one_minus_r():
    generator = torch.Generator().manual_seed(0)
    said, truth = torch.randn(30, 4, generator=generator), torch.randn(30, 4, generator=generator)
    r = [np.corrcoef(said[:, i], truth[:, i])[0, 1] for i in range(4)]
    assert correlation_loss(said, truth).item() == pytest.approx(1 - np.mean(r), abs=1e-4)
    assert correlation_loss(truth * 3 + 1, truth).item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("spots", [1, 2, 4, 20])
def test_correlation_loss_of_nothing_that_varies_is_zero_with_a_finite_gradient(spots):
    said = torch.zeros(spots, 3, requires_grad=True)
    flat = correlation_loss(said, torch.ones(spots, 3))
    flat.backward()
    assert flat.item() == 0 and (said.grad == 0).all()
    # An answer without variance against a truth with one: r is 0, and the gradient leads out.
    said = torch.zeros(spots, 3, requires_grad=True)
    loss = correlation_loss(said, torch.arange(3.0 * spots).reshape(spots, 3))
    loss.backward()
    assert loss.item() == pytest.approx(1.0 if spots >= 5 else 0.0)
    assert torch.isfinite(said.grad).all() and bool((said.grad != 0).any()) == (spots >= 5)


def test_roughness_compares_neighbors_alone():
    line = np.column_stack([np.arange(4) * 100.0, np.zeros(4)])
    near = around(np.concatenate([line, line + 9e4]), 1)
    values = torch.tensor([[1.0], [1], [3], [3], [50], [50], [50], [50]])
    assert roughness(values, near).item() == pytest.approx(
        4.0 * (near.index[[1, 2], 0] == torch.tensor([2, 1])).sum() / 8
    )
    assert roughness(values, around(line[:1], 3)).item() == 0


def test_answers_are_not_stuck_in_a_range():
    torch.manual_seed(0)
    network = QuadflowNetwork(Architecture(width=16, layers=1, heads=2, dropout=0.0), 4, 1)
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(50, 2, generator=generator) * 1000
    seen = View(torch.randn(50, 4, generator=generator), places, around(places.numpy(), 6))
    target = 40 + 25 * seen.features[:, :1]
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        loss = (network(seen) - target).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3 * target.var().item()
    assert network(seen).max().item() > 50


def test_genes_hear_their_sets_the_depth_and_little_else():
    rng = np.random.default_rng(0)
    mask = membership(["A", "B"], {"A": ["g0", "g1"], "B": ["g1", "g2"]}, ["g0", "g1", "g2", "g3"])
    assert mask.tolist() == [[True, True, False, False], [False, True, True, False], [True] * 4]
    activities = rng.normal(size=(400, 3))
    image = rng.normal(size=(400, 5))
    true = np.array([[2.0, 1, 0, 0], [0, -1, 1.5, 0], [0.5, 0, 0, 1]])
    values = activities @ true + image[:, :1] * [0, 0, 0, 2.0]
    weights = masked_ridge(activities, values, mask)
    np.testing.assert_allclose(weights, true, atol=0.3)
    assert (weights[~mask] == 0).all()
    layer = fit_gene_layer(activities, image, values, mask, free=1)
    assert layer.up.shape == (1, 4)
    inputs = [torch.from_numpy(part.astype(np.float32)) for part in (activities, image)]
    closed, opened = layer(inputs[0], None).numpy(), layer(*inputs).numpy()
    left = [((values - said) ** 2).mean(axis=0) for said in (closed, opened)]
    # The free say helps the gene that no set explains; its penalty keeps it from saying all.
    assert left[1][3] < 0.7 * left[0][3] and left[1][3] > 0.01 * left[0][3]


def test_a_ridge_learns_few_directions_and_leaves_the_depth_alone():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 6))
    y = np.column_stack([np.outer(x[:, 0], np.ones(10)) + rng.normal(0, 2, (200, 10)), x[:, 1]])
    low = in_directions(y, 1)
    assert np.linalg.matrix_rank(low[:, :-1]) == 1 and (low[:, -1] == y[:, -1]).all()
    assert (in_directions(y, 0) == y).all()
    weights, penalty = fit_ridge([x[:100], x[100:]], [y[:100], y[100:]], [np.arange(100) % 4] * 2, rank=1)
    assert weights.shape == (6, 11) and penalty in (0.1, 0.3, 1.0)
    assert weights[0, :-1].min() > 0.4 and weights[1, -1] > 0.4


def test_surroundings_are_gaussian_means_in_um():
    rng = np.random.default_rng(2)
    places = rng.uniform(0, 3000, (300, 2))
    values = rng.normal(size=(300, 2))
    found = context(values, places, places[:20], 400.0)
    weight = np.exp(-0.5 * (np.hypot(*(places[:20, None] - places[None]).transpose(2, 0, 1)) / 400) ** 2)
    exact = weight @ values / weight.sum(axis=1, keepdims=True)
    # Gathering in squares and ending at 2.5 radii cost little.
    assert np.abs(found - exact).max() < 0.1 and np.corrcoef(found[:, 0], exact[:, 0])[0, 1] > 0.98
    lone = context(values[:1], places[:1], places[:1], 400.0)
    np.testing.assert_allclose(lone, values[:1])


def test_features_that_do_not_move_say_nothing():
    features = np.column_stack([np.arange(5.0), np.full(5, 3.0), 1e6 + np.arange(5) * 1e-3])
    z = standardised(features)
    assert z[:, 0].std() == pytest.approx(1) and (z[:, 1:] == 0).all()


def test_a_window_of_a_large_slide_keeps_places_and_targets_together():
    side = 30
    places = np.column_stack(np.divmod(np.arange(side**2), side)).astype(float) * 100
    view = View(torch.arange(side**2)[:, None].float(), torch.from_numpy(places).float(), around(places, 8))
    scores = torch.arange(side**2)[:, None].float()
    counts = torch.arange(side**2) % 3 == 0
    lesson = window(Pupil(view, scores, scores, counts), counts, 100, np.random.default_rng(0))
    assert len(lesson.view.features) == 100
    assert (lesson.view.features[lesson.asked] == lesson.scores).all() and (lesson.scores % 3 == 0).all()
    near = lesson.view.around
    centre, place = torch.nonzero(near.index >= 0, as_tuple=True)
    step = lesson.view.positions_um[near.index[centre, place]] - lesson.view.positions_um[centre]
    torch.testing.assert_close(step, near.offset_um[centre, place])
    again = turned(lesson.view, np.random.default_rng(1))
    step = again.positions_um[near.index[centre, place]] - again.positions_um[centre]
    torch.testing.assert_close(step, again.around.offset_um[centre, place], atol=1e-2, rtol=1e-4)
    assert not torch.allclose(again.positions_um, lesson.view.positions_um)


def test_cost_is_told_by_the_exponent():
    table = pd.DataFrame({"spots": [500, 5000, 50_000], "cpu_seconds": [1.0, 2.0, 20.0]})
    assert growth(table) == pytest.approx(1.0)
    found = answer_once(200, "tiny", ["pathways_read_patches"])
    assert found["spots"] == 200 and found["cpu_seconds"] > 0 and found["megabytes"] > 0


def test_no_tensor_of_an_answer_grows_with_the_square_of_the_slide(monkeypatch):
    """All products of attention stay O(pathways x patches + patches x neighbours)."""
    from tissuemake.models.quadflow import attention

    largest = {}
    einsum = torch.einsum

    def watched(count):
        def product(equation, *parts):
            found = einsum(equation, *parts)
            largest[count] = max(largest.get(count, 0), found.numel())
            return found

        return product

    torch.manual_seed(0)
    network = QuadflowNetwork(Architecture(width=16, layers=1, heads=2, neighbors=6), 4, 5).eval()
    for count in (100, 400):
        places = np.random.default_rng(0).uniform(0, 2000, (count, 2))
        view = View(torch.zeros(count, 4), torch.from_numpy(places).float(), around(places, 6))
        monkeypatch.setattr(attention.torch, "einsum", watched(count))
        network(view)
    assert largest[400] == 4 * largest[100]
