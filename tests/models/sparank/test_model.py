"""What the network may and may not know: types and genes by what they look like, never by where they stand."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Generator

from tissuemake.models.sparank import section
from tissuemake.models.sparank.architecture import HEADS, PRESETS, VALUES, Architecture
from tissuemake.models.sparank.model import NONE, REFITS, Composition, Reference, SpaRank

GENES, TYPES = 200, 5
SMALL = Architecture(width=16, layers=1, heads=2, reads=6, tokens=32, token_layers=1)
ALL = torch.ones(GENES, dtype=torch.bool)


def reference():
    profiles = torch.rand(GENES, TYPES, generator=Generator().manual_seed(0)) ** 4 + 1e-3
    signature = profiles / profiles.sum(0) * 1e4
    return Reference(signature, signature.median(dim=1).values.clamp_min(0.05), torch.arange(TYPES))


def at_genes(known, genes):
    return Reference(known.signature[genes], known.medians[genes], known.kinds)


def counts(spots=40, depth=800.0):
    generator = Generator().manual_seed(1)
    shares = torch.softmax(2 * torch.randn(spots, TYPES, generator=generator), dim=1)
    return torch.poisson(shares @ reference().signature.T / 1e4 * depth, generator=generator)


def network(head="query", values="rank", taught=True, genes=GENES):
    """With `taught`, corrections of a size that training reaches; else as a training begins."""
    torch.manual_seed(0)
    made = SpaRank(replace(SMALL, head=head, values=values), genes, TYPES).eval()
    if taught:
        for part in (made.correct, made.spread):
            torch.nn.init.normal_(part.weight, std=0.5)
    return made


@torch.no_grad()
def said(made, *given, **options):
    return made(*given, **options)


def panel(part=0.6):
    return torch.rand(GENES, generator=Generator().manual_seed(2)) < part


def same(one, other, atol=3e-4):
    torch.testing.assert_close(one.mean, other.mean, atol=atol, rtol=0)
    torch.testing.assert_close(one.concentration, other.concentration, atol=30 * atol, rtol=0)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("values", VALUES)
def test_compositions_sum_to_one_and_have_an_unknown(head, values):
    answer = said(network(head, values), counts(), ALL, reference())
    assert answer.mean.shape == (40, TYPES + 1) and answer.concentration.shape == (40,)
    torch.testing.assert_close(answer.mean.sum(1), torch.ones(40))
    assert answer.mean.min() > 0 and answer.concentration.min() >= 0.1
    assert answer.mean.var(0).min() > 0  # it looks at the spots


@pytest.mark.parametrize("concentration", [0.1, 5.0, 1e4])
def test_sd_is_that_of_the_dirichlet(concentration):
    mean = torch.softmax(torch.randn(30, 4, generator=Generator().manual_seed(0)), dim=1)
    given = torch.full((30,), concentration)
    sd = Composition(mean, given).sd
    expected = torch.distributions.Dirichlet(mean * given[:, None]).variance.sqrt()
    torch.testing.assert_close(sd, expected)
    assert sd.min() >= 0 and sd.max() <= 0.5  # no share in [0, 1] has a larger one


@pytest.mark.parametrize("head", HEADS)
def test_types_in_another_order_give_the_answers_in_that_order(head):
    made, order = network(head), torch.tensor([3, 0, 4, 1, 2])
    plain = said(made, counts(), ALL, reference())
    moved = said(made, counts(), ALL, reference().of_types(order))
    same(moved, Composition(plain.mean[:, [*order, TYPES]], plain.concentration))
    assert (moved.mean - plain.mean).abs().max() > 0.1


@pytest.mark.parametrize("values", VALUES)
def test_genes_in_another_order_give_the_same_answer(values):
    made, order, measured = network(values=values), torch.randperm(GENES), panel()
    seen = counts() * measured
    moved = said(made, seen[:, order], measured[order], at_genes(reference(), order))
    same(moved, said(made, seen, measured, reference()))


@pytest.mark.parametrize("tied", [False, True])
def test_the_fixed_head_knows_genes_by_their_embedding_not_by_their_place(tied):
    """Also where places are tied."""
    made, order = network("fixed"), torch.randperm(GENES, generator=Generator().manual_seed(3))
    known = replace(reference(), medians=torch.ones(GENES)) if tied else reference()
    made.evidence.tokens = 32
    plain = said(made, counts(), ALL, known)
    moved = deepcopy(made)
    moved.evidence.gene.weight.data = made.evidence.gene.weight.data[order]
    moved.evidence.bag.weight.data = made.evidence.bag.weight.data[:, order]
    shuffled = counts()[:, order], ALL, at_genes(known, order)
    same(said(moved, *shuffled), plain)
    assert (said(made, *shuffled).mean - plain.mean).abs().max() > 0.01  # its names are learnt


@pytest.mark.parametrize("values", VALUES)
def test_an_unmeasured_gene_is_as_if_it_were_not_there(values):
    """And is not a gene that is measured and absent, which speaks against the types that express it."""
    made, known = network(values=values), reference()
    measured = ALL.clone()
    measured[known.signature.amax(1).topk(8).indices] = False
    seen = counts() * measured
    masked = said(made, seen, measured, known)
    dropped = said(made, seen[:, measured], ALL[measured], at_genes(known, measured))
    same(masked, dropped, atol=3e-4)
    assert (masked.mean - said(made, seen, ALL, known).mean).abs().max() > 0.02


def test_a_small_panel_is_as_if_there_were_no_other_genes():
    """A twentieth of the vocabulary: nothing may be averaged over the genes that are not measured."""
    made, measured = network(), torch.zeros(GENES, dtype=torch.bool)
    measured[torch.randperm(GENES, generator=Generator().manual_seed(2))[:10]] = True
    seen = counts() * measured
    dropped = said(made, seen[:, measured], ALL[measured], at_genes(reference(), measured))
    same(said(made, seen, measured, reference()), dropped, atol=1e-3)


def test_what_the_atlas_says_of_unmeasured_genes_has_no_influence():
    made, known, measured = network(), reference(), panel()
    junk = torch.where(measured[:, None], known.signature, 555.0)
    medians = torch.where(measured, known.medians, 0.123)
    seen = counts() * measured
    same(said(made, seen, measured, Reference(junk, medians, known.kinds)), said(made, seen, measured, known))


def least_squares(seen, measured, known, rounds):
    found = section.survey(seen, measured, known.signature)
    adapted = known.signature * (found.factors * measured)[:, None]
    shares = section.fit(seen, adapted)
    for _ in range(rounds):
        shares = section.refit(seen, adapted, shares)
    return shares


@pytest.mark.parametrize("head", HEADS)
def test_untrained_the_answer_is_that_of_least_squares(head):
    made, measured, known = network(head, taught=False).train(), panel(), reference()
    seen = counts() * measured
    shares = least_squares(seen, measured, known, 1)
    floor = float(made.floor.detach().exp())
    mean = said(made, seen, measured, known).mean
    expected = (shares + floor) / (shares + floor).sum(1, keepdim=True)
    torch.testing.assert_close(mean[:, :TYPES] / mean[:, :TYPES].sum(1, keepdim=True), expected)
    assert mean[:, TYPES].max() < 0.15 and floor < 0.02


@pytest.mark.parametrize("head", HEADS)
def test_the_answer_is_the_geometric_mean_of_the_networks_and_least_squares(head):
    made, measured, known = network(head), panel(), reference()
    seen = counts() * measured
    pooled, own = said(made, seen, measured, known), said(made.train(), seen, measured, known)
    torch.testing.assert_close(pooled.mean[:, TYPES], own.mean[:, TYPES])
    torch.testing.assert_close(pooled.concentration, own.concentration)
    expected = torch.sqrt(own.mean[:, :TYPES] * (least_squares(seen, measured, known, REFITS) + NONE))
    found = pooled.mean[:, :TYPES] / pooled.mean[:, :TYPES].sum(1, keepdim=True)
    torch.testing.assert_close(found, expected / expected.sum(1, keepdim=True), atol=1e-5, rtol=1e-4)
    assert (pooled.mean - own.mean).abs().max() > 0.05


def test_a_survey_of_the_whole_section_serves_its_parts():
    made, known = network(), reference()
    found = section.survey(counts(), ALL, known.signature)
    whole = said(made, counts(), ALL, known)
    same(said(made, counts(), ALL, known, found), whole)
    part = said(made, counts()[:3], ALL, known, found)
    torch.testing.assert_close(part.mean, whole.mean[:3], atol=3e-4, rtol=0)
    assert (said(made, counts()[:3], ALL, known).mean - whole.mean[:3]).abs().max() > 0.01


def test_fewer_types_are_answered_by_the_same_weights():
    for head in HEADS:
        answer = said(network(head), counts(), ALL, reference().of_types(torch.tensor([4, 1])))
        assert answer.mean.shape == (40, 3)


def test_the_query_head_serves_other_genes_and_types():
    made = network()
    other = Reference(reference().signature[:77, :3], reference().medians[:77], torch.arange(3))
    assert said(made, counts()[:, :77], ALL[:77], other).mean.shape == (40, 4)


def test_ties_broken_at_random_move_ranks_only():
    made, seen = network(), counts(depth=100.0)
    # Medians of one value: in the tens of tied genes, order alone would decide.
    tied = Reference(reference().signature, torch.ones(GENES), reference().kinds)
    flat = section.Survey(torch.ones(GENES), torch.full((TYPES,), 1 / TYPES))
    first, again, other = (
        said(made, seen, ALL, tied, flat, jitter=Generator().manual_seed(seed)).mean for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    twin = network(values="log")
    one, two = (said(twin, seen, ALL, tied, flat, jitter=Generator().manual_seed(s)).mean for s in (1, 2))
    assert torch.equal(one, two)


def test_ranks_do_not_see_how_high_a_gene_is():
    """The highest gene ten times higher keeps its rank; only least squares and depth notice."""
    made, known = network().evidence, reference()
    flat = section.Survey(torch.ones(GENES), torch.full((TYPES,), 1 / TYPES))
    for values, equal in (("rank", True), ("log", False)):
        whole = network(values=values)
        seen, level = counts(), torch.zeros(40, 1)
        higher = torch.where(
            seen / known.medians == (seen / known.medians).amax(1, keepdim=True), 10 * seen, seen
        )
        with torch.no_grad():
            one, two = (
                whole._evidence(each, level, ALL, known, None) for each in (seen / flat.factors, higher)
            )
        assert torch.allclose(one, two, atol=1e-5) is equal
    assert made.features == 2 * SMALL.reads


@pytest.mark.parametrize("head", HEADS)
def test_every_weight_learns(head):
    made = network(head)
    answer = made(counts(), ALL, reference())
    (torch.log(answer.mean[:, 0]).mean() + answer.concentration.mean()).backward()
    idle = [
        name
        for name, weight in made.named_parameters()
        if weight.grad is None or not weight.grad.any()
        # One bias on all types of a softmax moves nothing.
        if name != "correct.bias"
    ]
    assert not idle


def parameters(preset, head, types=20):
    chosen = PRESETS[preset]
    with torch.device("meta"):
        torch.manual_seed(0)
        made = SpaRank(replace(chosen.architecture, head=head), chosen.genes, types)
    return sum(weight.numel() for weight in made.parameters()) / 1e6


def test_presets_have_the_sizes_that_are_stated():
    """About 20 M for base; the fixed head pays for each gene and type that it knows by name."""
    assert parameters("base", "query") == pytest.approx(19.5, abs=0.2)
    assert parameters("base", "query", types=60) == parameters("base", "query")
    assert parameters("base", "fixed", types=10) == pytest.approx(48, abs=1)
    assert parameters("base", "fixed", types=30) == pytest.approx(58.5, abs=1)
    assert parameters("tiny", "query") < 0.2 and parameters("tiny", "fixed") < 1
    assert parameters("small", "query") == pytest.approx(1.8, abs=0.1)


@pytest.mark.parametrize("wrong", [{"head": "best"}, {"values": "tpm"}, {"width": 30, "heads": 4}])
def test_an_architecture_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="head is one of"):
        Architecture(**wrong)
    assert Architecture(**SMALL.as_dict()) == SMALL
