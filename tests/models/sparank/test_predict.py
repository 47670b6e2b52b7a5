"""A section in parts is the section: neither where it is cut nor the order of its spots changes an answer."""

from dataclasses import replace

import pytest
import torch
from torch import Generator

from models.sparank import tiny
from tissuemake.models.sparank import predict
from tissuemake.models.sparank.architecture import Architecture
from tissuemake.models.sparank.deconvolve import align, open_model
from tissuemake.models.sparank.fusion import ImageGate
from tissuemake.models.sparank.model import Reference, SpaRank
from tissuemake.models.sparank.predict import attribute, compose, survey_section


@pytest.fixture(scope="module")
def model(tiny_model):
    return open_model(tiny_model)


@pytest.fixture(scope="module")
def counts(model):
    """130 spots over the model's vocabulary; the last 20 genes of it are not measured."""
    spots, _ = tiny.sample(130)
    found, known = align(spots, model, "toy")
    known[-20:] = False
    return found * known, known


def composed(model, counts, known, **options):
    return compose(model.network, counts, known, model.reference, model.config["intervals"], **options)


def test_parts_give_the_answer_of_the_whole(model, counts, monkeypatch):
    whole = composed(model, *counts)
    monkeypatch.setattr(predict, "SPOTS_AT_ONCE", 37)
    parts = composed(model, *counts)
    assert whole.mean.shape == (130, len(tiny.TYPES) + 1) and whole.gate is None
    torch.testing.assert_close(parts.mean, whole.mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(parts.sd, whole.sd, atol=1e-5, rtol=0)
    with torch.no_grad():
        once = model.network(*counts, model.reference)
    torch.testing.assert_close(once.mean, whole.mean, atol=1e-5, rtol=0)


def test_the_order_of_spots_does_not_matter(model, counts, monkeypatch):
    monkeypatch.setattr(predict, "SPOTS_AT_ONCE", 50)
    order = torch.randperm(130, generator=Generator().manual_seed(0))
    whole, shuffled = composed(model, *counts), composed(model, counts[0][order], counts[1])
    torch.testing.assert_close(shuffled.mean, whole.mean[order], atol=1e-4, rtol=0)
    torch.testing.assert_close(shuffled.sd, whole.sd[order], atol=1e-4, rtol=0)


def test_whole_numbers_of_any_type_are_counts(model, counts):
    plain, integer = composed(model, *counts), composed(model, counts[0].int(), counts[1])
    assert torch.equal(plain.mean, integer.mean)


def test_large_sections_are_surveyed_by_a_sample_that_the_seed_draws(model, counts, monkeypatch):
    monkeypatch.setattr(predict, "SURVEYED", 60)
    one, again, other = (survey_section(*counts, model.reference, seed).factors for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    monkeypatch.setattr(predict, "SURVEYED", 130)
    assert torch.equal(*(survey_section(*counts, model.reference, seed).factors for seed in (1, 2)))


def test_empty_spots_do_not_disturb_the_others(model, counts):
    known = counts[1]
    padded = torch.cat([counts[0], torch.zeros(200, len(known))])
    found, plain = composed(model, padded, known), composed(model, *counts)
    torch.testing.assert_close(found.mean[:130], plain.mean, atol=1e-5, rtol=0)
    assert found.mean.isfinite().all() and found.sd.isfinite().all()
    nothing = composed(model, torch.zeros(3, len(known)), known)
    torch.testing.assert_close(nothing.mean.sum(1), torch.ones(3))


def test_a_gate_takes_images_in_parts_too(model, counts, monkeypatch):
    torch.manual_seed(0)
    gate = ImageGate(len(tiny.TYPES) + 1, 16, 4).eval()
    images = torch.randn(130, 4, generator=Generator().manual_seed(0))
    seen = torch.arange(130) % 3 > 0
    whole = composed(model, *counts, gate=gate, images=images, seen=seen)
    monkeypatch.setattr(predict, "SPOTS_AT_ONCE", 37)
    parts = composed(model, *counts, gate=gate, images=images, seen=seen)
    torch.testing.assert_close(parts.mean, whole.mean, atol=1e-5, rtol=0)
    assert (parts.gate[~seen] == 1).all() and (parts.gate[seen] < 1).all() and len(parts.gate) == 130


def test_a_planted_marker_is_the_top_gene_of_its_type(model, counts):
    found, known = counts
    mean = composed(model, found, known).mean
    scores = attribute(model.network, found, known, model.reference, mean)
    assert scores.shape == (len(tiny.TYPES), len(known)) and not scores[:, ~known].any()
    names = model.vocabulary.index
    for kind in range(len(tiny.TYPES)):
        top = names[scores[kind].topk(3).indices.numpy()]
        assert set(top) <= set(tiny.markers_of(kind))
        # And speaks against the other types.
        here = torch.tensor(names.isin(tiny.markers_of(kind))) & known
        others = [other for other in range(len(tiny.TYPES)) if other != kind]
        assert scores[others][:, here].mean() < 0 < scores[kind][here].min()


def test_genes_that_some_spots_lack_have_a_score(model, counts):
    """Most genes of a real section: a derivative that is infinite at zero counts must not silence them."""
    thin = torch.poisson(counts[0] / 50, generator=Generator().manual_seed(0))
    assert ((thin == 0).any(0)).all()
    scores = attribute(model.network, thin, counts[1], model.reference, composed(model, thin, counts[1]).mean)
    assert scores.isfinite().all() and (scores[:, counts[1]] != 0).all(0).float().mean() > 0.8
    top = model.vocabulary.index[scores[4].topk(3).indices.numpy()]
    assert set(top) <= set(tiny.markers_of(4))


def test_types_that_share_no_gene_have_attributions():
    """Their shares can become zero, and with them what is predicted of a gene."""
    signature = torch.eye(4).repeat_interleave(10, 0) * torch.rand(
        40, 1, generator=Generator().manual_seed(0)
    )
    signature = signature / signature.sum(0) * 1e4
    known, all_genes = (
        Reference(signature, signature.amax(1), torch.arange(4)),
        torch.ones(40, dtype=torch.bool),
    )
    shares = torch.eye(4)[torch.arange(80) % 4]
    found = torch.poisson(shares @ signature.T / 20, generator=Generator().manual_seed(1))
    torch.manual_seed(0)
    network = SpaRank(Architecture(width=16, layers=1, heads=2, reads=6), 40, 4).eval()
    mean = compose(network, found, all_genes, known, [[1.0] * 4] * 7).mean
    assert attribute(network, found, all_genes, known, mean).isfinite().all()


def test_counts_of_unmeasured_genes_are_ignored(model, counts):
    found, known = counts
    junk = found + 50 * torch.rand(found.shape, generator=Generator().manual_seed(0)) * ~known
    plain, other = composed(model, found, known), composed(model, junk, known)
    torch.testing.assert_close(other.mean, plain.mean, atol=1e-5, rtol=0)


def test_attributions_are_derivatives(model, counts):
    """Against the change of the answer when a gene's counts rise a little, for values that have a derivative."""
    found, known = counts
    network = SpaRank(replace(model.network.architecture, values="log"), len(known), len(tiny.TYPES)).eval()
    network.load_state_dict(model.network.state_dict())
    surveyed = survey_section(found, known, model.reference)
    mean = network(found, known, model.reference, surveyed).mean.detach()
    scores = attribute(network, found, known, model.reference, mean)
    best = mean[:, 0].topk(predict.SPEAKING_SPOTS).indices
    weight = mean[best, 0] / mean[best, 0].sum()

    def log_share(gene, factor):
        moved = found[best].clone()
        moved[:, gene] *= factor
        return torch.log(network(moved, known, model.reference, surveyed).mean[:, 0]).detach()

    for gene in torch.cat([scores[0].topk(3).indices, (-scores[0]).topk(3).indices]).tolist():
        expected = float((weight * (log_share(gene, 1.01) - log_share(gene, 0.99))).sum() / 0.02)
        assert float(scores[0, gene]) == pytest.approx(expected, rel=0.05, abs=1e-3)


def test_attribution_leaves_the_network_as_it_was(model, counts):
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    attribute(model.network, *counts, model.reference, composed(model, *counts).mean)
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())
    assert all(weight.grad is None for weight in model.network.parameters())
