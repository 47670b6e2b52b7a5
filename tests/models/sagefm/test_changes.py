"""The short way to ask a ring network gives what the long way gives."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from models.sagefm.test_network import GENES, pupil, ring_network
from models.sagefm.toy_section import QUICK, section
from tissuemake.device import given_device
from tissuemake.models.sagefm.changes import RingChange, by_prediction, change_of
from tissuemake.models.sagefm.encode import SageFM


@pytest.fixture(scope="module")
def model():
    """A network of random weights, as every part of it counts; the last genes were measured by nobody."""
    of = pupil()
    network = ring_network(of)
    for weights in (network.ring, network.ring_gene, network.decode.weight, network.readout):
        torch.nn.init.normal_(weights, std=1.0)
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    state |= {"log.mean": torch.from_numpy(of.mean), "log.sd": torch.from_numpy(of.sd)}
    state |= {f"loadings.{name}": getattr(of.loadings, name) for name in ("directions", "variance")}
    config = {"genes": GENES, "architecture": asdict(QUICK.architecture), "donors": []}
    return SageFM(state, config, given_device(0))


@pytest.mark.parametrize("genes", [[3], [4, 9, 40]])
def test_a_ring_network_changes_as_its_predictions_do(model, genes):
    part = model.read(section(1, rows=9, columns=11, genes=50))
    # A spot far away has no neighbours.
    part.neighbors.index[5] = -1
    hidden = np.zeros(60, dtype=bool)
    hidden[[3, 4, 9, 17, 40]] = True
    ask = change_of(model, part, hidden)
    assert isinstance(ask, RingChange)
    found = ask(np.array(genes), 0.5, 3.0)
    expected = by_prediction(model, part, hidden)(np.array(genes), 0.5, 3.0)
    assert np.abs(np.delete(expected, genes)).max() > 0.02
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6)


def test_without_neighbours_nothing_changes(model):
    part = model.read(section(1, rows=5, columns=11))
    part.neighbors.index[:] = -1
    hidden = np.arange(60) == 3
    found = change_of(model, part, hidden)(np.array([3]), 0.5, 3.0)
    np.testing.assert_allclose(found, 0, atol=1e-6)
