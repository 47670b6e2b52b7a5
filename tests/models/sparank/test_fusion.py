"""The gate: nothing changes without an image; taught without truth, it leans on the image where counts are thin."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tissuemake.device import given_device
from tissuemake.errors import InputError
from tissuemake.evaluation.metrics import pearson
from tissuemake.models.schedule import Schedule
from tissuemake.models.sparank.distil import Distillation, Section, thin_counts, train_gate
from tissuemake.models.sparank.fusion import ImageGate

TYPES, GENES, FEATURES, WIDTH = 4, 60, 10, 8
SCHEDULE = Schedule(steps=150, learning_rate=5e-3, validate_every=50, weight_decay=0.05)
PLAN = Distillation(batch=96, least_depth=20, least_panel=20, schedule=SCHEDULE)


class Toy(nn.Module):
    """Log-likelihood of the counts under each type's profile, as z; its softened softmax, as composition."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        profiles = torch.rand(TYPES, GENES, generator=generator) ** 3 + 0.02
        self.profiles = nn.Parameter(profiles / profiles.sum(dim=1, keepdim=True))
        centred = (self.profiles / self.profiles.mean(dim=0)).log().detach()
        self.weights = nn.Parameter(torch.linalg.pinv(centred @ self.profiles.detach().T) @ centred)
        self.lift = nn.Parameter(torch.linalg.qr(torch.randn(WIDTH, TYPES, generator=generator))[0])

    def encode(self, counts, measured):
        shares = counts * measured / (counts * measured).sum(dim=1, keepdim=True).clamp_min(1)
        return shares @ self.weights.T @ self.lift.T

    def head(self, z):
        known = torch.softmax(6 * (z @ self.lift), dim=1)
        return SimpleNamespace(mean=torch.cat([known * 0.98, torch.full((len(z), 1), 0.02)], dim=1))


def section(donor, seed, spots=240, depth=2000):
    """Spots whose tiles show their composition with noise; the truth beside it."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(spots, TYPES, generator=generator)
    truth = torch.softmax(logits, dim=1)
    counts = torch.poisson(depth * truth @ Toy().profiles.detach(), generator=generator)
    view = torch.randn(TYPES, FEATURES, generator=torch.Generator().manual_seed(99))
    noise = torch.randn(spots, FEATURES, generator=generator)
    images = 5 + 100 * (truth @ view + 0.25 * noise)
    return Section(donor, counts, torch.ones(GENES, dtype=torch.bool), images), truth


def taught(tmp_path, donors=("a", "b"), plan=PLAN, seed=0, model=None):
    sections = [section(donor, i)[0] for i, donor in enumerate(donors)]
    return train_gate(
        model or Toy(),
        sections,
        plan=plan,
        checkpoints=tmp_path / f"checkpoints{seed}",
        device=given_device(0),
        seed=seed,
        progress=False,
    )[0]


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    return taught(tmp_path_factory.mktemp("gate"))


@torch.no_grad()
def answers(gate, section, depth):
    """Compositions from counts alone, from the image alone and from both, and the gate, at a median depth."""
    model, generator = Toy(), torch.Generator().manual_seed(5)
    part = torch.full((len(section.counts),), min(depth / float(section.counts.sum(dim=1).median()), 1.0))
    counts = thin_counts(section.counts, part, generator)
    z = model.encode(counts, section.measured)
    fused, weight = gate(z, counts.sum(dim=1), torch.ones(len(z)), section.images)
    alone = gate.project(gate.standardised(section.images))
    return *(model.head(each).mean[:, :TYPES] for each in (z, alone, fused)), weight


def score(found, truth):
    return pearson(found.numpy(), truth.numpy()).mean()


def test_without_an_image_nothing_changes_to_the_bit(gate):
    z, depth = torch.randn(7, WIDTH), torch.full((7,), 80.0)
    fused, weight = gate(z, depth, torch.ones(len(z)))
    assert torch.equal(fused, z) and torch.equal(weight, torch.ones(7))
    fused, weight = gate(
        z, depth, torch.ones(len(z)), torch.full((7, FEATURES), torch.nan), torch.zeros(7, dtype=torch.bool)
    )
    assert torch.equal(fused, z) and torch.equal(weight, torch.ones(7))


def test_a_spot_without_a_tile_touches_no_other(gate):
    part = section("c", 3, spots=6)[0]
    z, depth = Toy().encode(part.counts, part.measured), part.counts.sum(dim=1)
    seen = torch.tensor([True, False, True, True, False, True])
    images = torch.where(seen[:, None], part.images, torch.nan)
    some, weight = gate(z, depth, torch.ones(len(z)), images, seen)
    everything, _ = gate(z, depth, torch.ones(len(z)), part.images)
    assert torch.equal(some[~seen], z[~seen]) and (weight[~seen] == 1).all()
    torch.testing.assert_close(some[seen], everything[seen])
    assert (weight[seen] < 1).all()


def test_the_gate_is_a_mixture():
    gate = ImageGate(WIDTH, FEATURES).eval()
    z, images = torch.randn(5, WIDTH), torch.randn(5, FEATURES)
    fused, weight = gate(z, torch.full((5,), 300.0), torch.ones(5), images)
    z_image = gate.project(gate.standardised(images))
    torch.testing.assert_close(fused, weight[:, None] * z + (1 - weight[:, None]) * z_image)


def test_fusion_beats_counts_alone_where_they_are_thin_and_keeps_what_they_say_where_they_are_not(gate):
    held_out, truth = section("new", 77)
    scores = {
        depth: [score(found, truth) for found in answers(gate, held_out, depth)[:3]]
        for depth in (25, 100, 2000)
    }
    counts, image, both = scores[25]
    assert both > counts + 0.05 and both > image - 0.02
    assert scores[100][2] > scores[100][0]
    assert scores[2000][2] > scores[2000][0] - 0.01


def test_the_gate_rises_with_depth(gate):
    held_out, _ = section("new", 77)
    weights = [answers(gate, held_out, depth)[3].mean().item() for depth in (25, 100, 2000)]
    assert weights[0] < weights[1] < weights[2]
    assert weights[2] > 0.7 > 0.5 > weights[0]


def test_an_artefact_moves_no_further_than_the_training_tiles_reach(gate):
    part = section("c", 3, spots=4)[0]
    standardised = gate.standardised(part.images * 1e6)
    assert standardised.abs().max() <= 4


def test_scale_of_features_travels_with_the_weights(gate):
    other = ImageGate(WIDTH, FEATURES)
    other.load_state_dict(gate.state_dict())
    assert torch.equal(other.mean, gate.mean) and other.sd.min() > 10


def test_a_feature_that_never_varied_says_nothing():
    gate = ImageGate(WIDTH, 2)
    gate.standardise_by(torch.tensor([[1.0, 3.0], [2.0, 3.0], [3.0, 3.0]]))
    assert gate.standardised(torch.tensor([[2.0, 4.0]])).tolist() == [[0.0, 0.0]]


def test_the_model_of_counts_is_left_as_it_was(tmp_path):
    model = Toy().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    taught(
        tmp_path,
        model=model,
        plan=replace(PLAN, schedule=replace(SCHEDULE, steps=20, validate_every=10)),
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())


def test_equal_seeds_give_equal_gates_and_one_donor_is_enough(tmp_path):
    plan = replace(PLAN, schedule=replace(SCHEDULE, steps=20, validate_every=10))
    first, again = (taught(tmp_path / name, donors=("a",), plan=plan) for name in "xy")
    other = taught(tmp_path, donors=("a",), plan=plan, seed=1)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in first.state_dict().items())
    assert not torch.equal(first.weigh[0].weight, other.weigh[0].weight)


def test_no_section_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(InputError) as caught:
        train_gate(Toy(), [], checkpoints=tmp_path, device=given_device(0), seed=0)
    assert caught.value.code == "no_sections"


def test_thinning_keeps_each_molecule_with_the_chance_of_its_spot():
    counts = torch.full((3, 500), 20.0)
    counts[:, :250] = 0
    generator = torch.Generator().manual_seed(0)
    kept = thin_counts(counts, torch.tensor([0.0, 0.3, 1.0]), generator)
    assert kept[0].sum() == 0 and torch.equal(kept[2], counts[2])
    assert kept[1].sum() == pytest.approx(0.3 * 5000, rel=0.06) and (kept <= counts).all()
