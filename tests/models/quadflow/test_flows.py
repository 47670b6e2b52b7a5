"""A flow that is off is not computed, and what is computed on the graph equals one masked product of all with all."""

from dataclasses import asdict
from itertools import product

import numpy as np
import pytest
import torch

from tissuemake.errors import InputError
from tissuemake.models.quadflow import attention as attention_module
from tissuemake.models.quadflow.architecture import Architecture, Flows
from tissuemake.models.quadflow.attention import FlowAttention, dense_reference
from tissuemake.models.quadflow.neighbors import around
from tissuemake.models.quadflow.network import QuadflowNetwork, View

PATHWAYS, PATCHES, WIDTH, HEADS = 5, 40, 16, 4
NAMES = list(asdict(Flows()))
ALL_FLOWS = [Flows(*on) for on in product([True, False], repeat=4)]


def tokens(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    pathways = torch.randn(PATHWAYS, WIDTH, generator=generator, requires_grad=True)
    patches = torch.randn(PATCHES, WIDTH, generator=generator, requires_grad=True)
    places = np.random.default_rng(seed).uniform(0, 1500, (PATCHES, 2))
    places[0] = 9000.0  # one that lies alone
    return pathways, patches, around(places, 6)


def layer(flows: Flows) -> FlowAttention:
    torch.manual_seed(1)
    attention = FlowAttention(WIDTH, HEADS, flows)
    for parameter in attention.bias.values():
        torch.nn.init.normal_(parameter)
    if flows.patches_to_patches:
        torch.nn.init.normal_(attention.direction.weight)
    return attention


@pytest.mark.parametrize("flows", ALL_FLOWS, ids=lambda flows: "+".join(flows.names) or "none")
def test_sparse_equals_masked_dense(flows, monkeypatch):
    pathways, patches, near = tokens()
    attention = layer(flows)
    assert (near.index[0] < 0).all()
    dense = dense_reference(attention, pathways, patches, near)
    taught = attention(pathways, patches, near)
    monkeypatch.setattr(attention_module, "ROWS_AT_ONCE", 7)
    with torch.no_grad():
        asked = attention(pathways, patches, near)
    for sparse in (taught, asked):
        for one, other in zip(sparse, dense, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def gradients(flows: Flows) -> dict[str, bool]:
    """For every flow, whether a gradient comes through a layer that has `flows`."""
    found = {}
    attention = layer(flows)
    for name, (asking, told) in {
        "pathways_to_pathways": (0, 0),
        "pathways_read_patches": (0, 1),
        "patches_read_pathways": (1, 0),
        "patches_to_patches": (1, 1),
    }.items():
        inputs = tokens()
        out = attention(*inputs)[asking]
        if out is None:
            found[name] = False
            continue
        # Of the first pathway or patch with neighbours; others are who tells.
        (out[1].sum()).backward()
        gradient = inputs[told].grad
        others = torch.arange(len(inputs[told])) != 1 if asking == told else slice(None)
        found[name] = gradient is not None and bool((gradient[others] != 0).any())
    return found


@pytest.mark.parametrize("flows", ALL_FLOWS, ids=lambda flows: "+".join(flows.names) or "none")
def test_gradient_through_a_blocked_flow_is_exactly_zero(flows):
    assert gradients(flows) == asdict(flows)


def test_a_blocked_flow_has_no_weights_and_no_product():
    attention = layer(Flows(False, True, False, False))
    assert set(attention.bias) == {"pathways_read_patches"}
    assert attention.patch_query is None and attention.pathway_keys is None
    shapes = []
    einsum = torch.einsum

    def watched(equation, *parts):
        shapes.append(tuple(tuple(part.shape) for part in parts))
        return einsum(equation, *parts)

    attention_module.torch.einsum = watched
    try:
        attention(*tokens()[:2], None)  # no graph is looked at
    finally:
        attention_module.torch.einsum = einsum
    lengths = {shape[:1] for pair in shapes for shape in pair}
    assert len(shapes) == 2, "one product for the scores and one for the values"
    assert (PATCHES,) in lengths


def view(n: int = PATCHES) -> View:
    generator = torch.Generator().manual_seed(3)
    places = torch.rand(n, 2, generator=generator) * 2000
    return View(torch.randn(n, 7, generator=generator, requires_grad=True), places, around(places.numpy(), 6))


@pytest.mark.parametrize("flows", ALL_FLOWS, ids=lambda flows: "+".join(flows.names) or "none")
def test_an_activity_depends_on_other_patches_only_by_flows_that_are_on(flows):
    torch.manual_seed(0)
    network = QuadflowNetwork(Architecture(width=16, layers=2, heads=2, flows=flows), 7, PATHWAYS).eval()
    seen = view()
    network(seen)[1].sum().backward()
    others = torch.arange(PATCHES) != 1
    reached = bool((seen.features.grad[others] != 0).any())
    assert reached == (flows.patches_to_patches or flows.pathways_read_patches)
    assert (seen.features.grad[1] != 0).any()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_flows_by_name():
    assert Flows.of(["patches_to_patches"]) == Flows(False, False, False, True)
    assert Flows.of(NAMES) == Flows()
    with pytest.raises(InputError, match="'P<->P'") as caught:
        Flows.of(["P<->P"])
    assert caught.value.code == "unknown_flow"


def test_attention_says_who_was_looked_at():
    torch.manual_seed(0)
    network = QuadflowNetwork(Architecture(width=16, layers=2, heads=2), 7, PATHWAYS).eval()
    said: list = []
    network(view(), said)
    assert len(said) == 2
    shares = torch.cat([said[0]["pathways_to_pathways"], said[0]["pathways_read_patches"]], dim=2)
    assert shares.shape == (2, PATHWAYS, PATHWAYS + PATCHES)
    torch.testing.assert_close(shares.sum(dim=2), torch.ones(2, PATHWAYS))
    assert (said[1]["patches_read_pathways"] > 0).all()


def test_neighbors_end_at_holes_and_twins_are_neighbors():
    line = np.column_stack([[0, 100, 200, 300, 5000, 5000], np.zeros(6)])
    near = around(line.astype(float), 3)
    assert set(near.index[0].tolist()) == {1, 2, 3}
    assert near.index[4].tolist() == [5, -1, -1]
    assert near.offset_um[0, 0].tolist() == [100.0, 0.0]
    assert (around(line[:1].astype(float), 3).index == -1).all()
