"""What the parts of the networks must do: read past hidden genes, keep the centre apart, collapse cliques."""

import numpy as np
import torch

from models.sagefm.toy_section import QUICK, section
from tissuemake.evaluation.metrics import pearson
from tissuemake.models.sagefm.architecture import PRESETS
from tissuemake.models.sagefm.clique import CliqueNetwork
from tissuemake.models.sagefm.lessons import Pupil
from tissuemake.models.sagefm.network import RingNetwork
from tissuemake.models.sagefm.reading import Loadings, components, components_alike
from tissuemake.models.sagefm.readout import solve_readout
from tissuemake.models.sagefm.section import read_section
from tissuemake.models.sagefm.train import log_statistics, principal_loadings

GENES = [f"G{i}" for i in range(60)]


def pupil(seed: int = 0, **change) -> Pupil:
    adata = section(seed, **change)
    seen = read_section(adata, GENES)
    mean, sd = log_statistics([seen])
    return Pupil(seen, mean, sd, principal_loadings([seen], 6, 0), rings=3)


def ring_network(of: Pupil) -> RingNetwork:
    torch.manual_seed(0)
    network = RingNetwork(QUICK.architecture, of.loadings)
    torch.nn.init.normal_(network.reader.token)
    return network.eval()


def test_solver_is_the_posterior_mean():
    rng = np.random.default_rng(0)
    directions = torch.from_numpy(np.linalg.qr(rng.normal(size=(200, 8)))[0].astype(np.float32))
    loadings = Loadings(directions, torch.linspace(30, 0.5, 8))
    values = torch.from_numpy(rng.normal(size=(5, 200)).astype(np.float32))
    visible = torch.from_numpy(rng.random((5, 200)) < [[0.9], [0.7], [0.5], [0.2], [0.05]]).float()
    found = components(values, visible, loadings)
    for row in range(5):
        seen = directions * visible[row][:, None]
        inner = seen.T @ directions + torch.diag(1 / loadings.variance)
        exact = torch.linalg.solve(inner, seen.T @ values[row]) / loadings.variance.sqrt()
        alike = components_alike(values[row : row + 1], visible[row], loadings)[0]
        torch.testing.assert_close(alike, exact, rtol=1e-3, atol=1e-4)
        assert (found[row] - exact).norm() <= 0.02 * exact.norm() + 1e-3
    nothing = components(values, torch.zeros_like(visible), loadings)
    assert nothing.abs().max() == 0


def test_hidden_genes_of_the_centre_do_not_show():
    of = pupil()
    network = ring_network(of)
    hidden = np.arange(60) % 2 == 0
    lesson = of.lesson(np.arange(20), hidden)
    noise = torch.where(torch.from_numpy(hidden), torch.randn(20, 60), 0)
    changed = lesson._replace(own=lesson.own + noise, target=lesson.target + noise)
    torch.testing.assert_close(network(lesson), network(changed))
    assert not torch.allclose(network(lesson), network(lesson._replace(own=lesson.own + 1)))


def test_neighbors_count_by_distance_and_the_centre_is_none_of_them():
    of = pupil()
    near = of.section.neighbors
    assert not (near.index == np.arange(len(near.index))[:, None]).any()
    network = ring_network(of)
    lesson = of.lesson(np.array([120]), np.ones(60, dtype=bool))
    base = network.embed(lesson)
    moved = [
        (network.embed(lesson._replace(around=_raised(lesson, place))) - base).norm().item()
        for place in (0, 35)
    ]
    assert moved[0] > moved[1] > 0
    alone = lesson._replace(index=torch.full_like(lesson.index, -1))
    assert torch.isfinite(network(alone)).all() and not torch.allclose(network.embed(alone), base)


def _raised(lesson, place: int) -> torch.Tensor:
    around = lesson.around.clone()
    around[lesson.index[0, place]] += 5
    return around


def test_genes_hidden_everywhere_are_out_of_the_rings_and_the_neighbors():
    of = pupil()
    hidden = np.arange(60) < 30
    lesson = of.lesson(np.arange(10), hidden, everywhere=True)
    assert (lesson.rings[:, :, :30] == 0).all() and (lesson.rings[:, :, 30:] != 0).any()
    assert lesson.asked[:, :30].all() and not lesson.asked[:, 30:].any()
    kept = of.lesson(np.arange(10), hidden)
    assert not torch.allclose(kept.around, lesson.around) and (kept.rings[:, :, :30] != 0).any()


def test_what_a_panel_lacks_is_hidden_and_never_asked():
    of = pupil(genes=40)
    lesson = of.lesson(np.arange(10), np.zeros(60, dtype=bool))
    assert lesson.hidden[:, 40:].all() and not lesson.hidden[:, :40].any() and not lesson.asked.any()
    assert lesson.lacking[40:].all() and (lesson.rings[:, :, 40:] == 0).all()


def test_ring_means_are_means_over_the_ring():
    of = pupil()
    lesson = of.lesson(np.array([120]), np.zeros(60, dtype=bool))
    near = of.section.neighbors
    inner = near.index[120][near.ring[120] == 0]
    expected = (of.log_values[inner].toarray().mean(axis=0) - of.level) / of.sd
    np.testing.assert_allclose(lesson.rings[0, 0], expected, rtol=1e-4, atol=1e-5)


def test_a_clique_is_a_perceptron_on_its_mean():
    of = pupil()
    torch.manual_seed(0)
    network = CliqueNetwork(torch.from_numpy(of.mean), torch.from_numpy(of.sd), (16, 8, 16))
    lesson = of.lesson(np.array([120]), np.arange(60) < 18)
    own = torch.where(lesson.hidden[0], 0, lesson.target[0] * network.sd + lesson.level)
    members = lesson.index[0][lesson.index[0] >= 0]
    rows = of.log_values[of.section.neighbors.index[120]].toarray()
    nodes = torch.cat([own[None], torch.from_numpy(rows)])
    adjacency = torch.full((len(nodes), len(nodes)), 1 / len(nodes))
    for layer in network.layers:
        nodes = torch.relu(layer(adjacency @ nodes))
    assert len(members) == 36
    # Here the whole neighbourhood is one ring.
    lesson = lesson._replace(
        rings=(torch.from_numpy(rows.mean(axis=0)) - lesson.level)[None, None] / network.sd
    )
    torch.testing.assert_close(network.embed(lesson)[0], nodes[0], rtol=1e-3, atol=1e-4)


def test_presets_have_the_sizes_that_they_claim():
    millions = {}
    for name, preset in PRESETS.items():
        shape = preset.architecture
        with torch.device("meta"):
            network = RingNetwork(
                shape, Loadings(torch.zeros(shape.genes, shape.loadings), torch.ones(shape.loadings))
            )
        millions[name] = sum(weight.numel() for weight in network.parameters()) / 1e6
    assert millions["tiny"] < 1 < millions["small"] < 5 < 20 < millions["base"] < 30


def test_the_straight_line_is_the_ridge_and_has_one_for_centres_that_show_nothing():
    of = pupil()
    spots = np.arange(len(of.section))
    readout = solve_readout([of], [spots[spots % 5 > 0]], [spots[spots % 5 == 0]], 0)
    network = RingNetwork(QUICK.architecture, of.loadings, readout).eval()
    asked = Pupil(read_section(section(1), GENES), of.mean, of.sd, of.loadings, rings=3)
    hidden = np.arange(60) % 3 == 0
    part, whole = (asked.lesson(spots, genes) for genes in (hidden, np.ones(60, dtype=bool)))
    said = {}
    for name, lesson in (("part", part), ("whole", whole)):
        said[name] = network.straight_line(network._found(lesson), lesson).numpy()
    r = {name: pearson(values, part.target.numpy()) for name, values in said.items()}
    assert np.median(r["part"][hidden]) > 0.5
    # The field shows in the neighbours, the spots' own states do not.
    assert np.median(r["whole"][:30]) > 0.4 and abs(np.median(r["whole"][30:])) < 0.2
    torch.testing.assert_close(
        network.answer(part), (network(part) + torch.from_numpy(said["part"])) / 2, rtol=1e-4, atol=1e-4
    )
