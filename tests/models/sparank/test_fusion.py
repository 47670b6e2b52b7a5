"""The gate: nothing changes without an image; taught without truth, it leans on the image where counts are thin."""

from dataclasses import replace

import pytest
import torch

from tissuemake.device import given_device
from tissuemake.errors import InputError
from tissuemake.evaluation.metrics import pearson
from tissuemake.models.schedule import Schedule
from tissuemake.models.sparank.architecture import Architecture
from tissuemake.models.sparank.distil import train_gate
from tissuemake.models.sparank.fusion import ImageGate
from tissuemake.models.sparank.model import Reference, SpaRank
from tissuemake.models.sparank.thin_sections import Distillation, TiledSection, thin_counts

TYPES, GENES, FEATURES, WIDTH = 4, 60, 10, 16
ROWS = TYPES + 1
SCHEDULE = Schedule(steps=150, learning_rate=5e-3, validate_every=50, weight_decay=0.05)
PLAN = Distillation(spots=96, least_depth=20, least_panel=20, schedule=SCHEDULE)


def reference():
    profiles = torch.rand(GENES, TYPES, generator=torch.Generator().manual_seed(0)) ** 3 + 0.02
    signature = profiles / profiles.sum(dim=0) * 1e4
    return Reference(signature, signature.median(dim=1).values, torch.arange(TYPES))


def network():
    """Untrained: its answer is that of least squares."""
    torch.manual_seed(0)
    return SpaRank(Architecture(width=WIDTH, layers=1, heads=2, reads=4), GENES, TYPES).eval()


def section(donor, seed, spots=240, depth=2000):
    """Spots whose tiles show their composition with noise; the truth beside it."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.softmax(2 * torch.randn(spots, TYPES, generator=generator), dim=1)
    counts = torch.poisson(depth * truth @ reference().signature.T / 1e4, generator=generator)
    view = torch.randn(TYPES, FEATURES, generator=torch.Generator().manual_seed(99))
    noise = torch.randn(spots, FEATURES, generator=generator)
    images = 5 + 100 * (truth @ view + 0.25 * noise)
    return TiledSection(donor, counts, torch.ones(GENES, dtype=torch.bool), images), truth


def taught(tmp_path, donors=("a", "b"), plan=PLAN, seed=0, model=None):
    sections = [section(donor, i)[0] for i, donor in enumerate(donors)]
    return train_gate(
        model or network(),
        reference(),
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
    model, generator = network(), torch.Generator().manual_seed(5)
    part = min(depth / float(section.counts.sum(dim=1).median()), 1.0)
    counts = thin_counts(section.counts, part, generator)
    z = model.encode(counts, section.measured, reference())
    fused, weight = gate(z, counts.sum(dim=1), torch.tensor(1.0), section.images)
    alone = gate.project(gate.standardised(section.images))
    return *(model.head(each).mean[:, :TYPES] for each in (z, alone, fused)), weight


def score(found, truth):
    return pearson(found.numpy(), truth.numpy()).mean()


def test_without_an_image_nothing_changes_to_the_bit(gate):
    z, depth = torch.randn(7, ROWS, WIDTH + 1), torch.full((7,), 80.0)
    fused, weight = gate(z, depth, torch.tensor(1.0))
    assert torch.equal(fused, z) and torch.equal(weight, torch.ones(7))
    fused, weight = gate(
        z, depth, torch.tensor(1.0), torch.full((7, FEATURES), torch.nan), torch.zeros(7, dtype=torch.bool)
    )
    assert torch.equal(fused, z) and torch.equal(weight, torch.ones(7))


def test_a_spot_without_a_tile_touches_no_other(gate):
    part = section("c", 3, spots=6)[0]
    z = network().encode(part.counts, part.measured, reference()).detach()
    depth = part.counts.sum(dim=1)
    seen = torch.tensor([True, False, True, True, False, True])
    images = torch.where(seen[:, None], part.images, torch.nan)
    some, weight = gate(z, depth, torch.tensor(1.0), images, seen)
    everything, _ = gate(z, depth, torch.tensor(1.0), part.images)
    assert torch.equal(some[~seen], z[~seen]) and (weight[~seen] == 1).all()
    torch.testing.assert_close(some[seen], everything[seen])
    assert (weight[seen] < 1).all()


def test_the_gate_is_a_mixture():
    gate = ImageGate(ROWS, WIDTH, FEATURES).eval()
    z, images = torch.randn(5, ROWS, WIDTH + 1), torch.randn(5, FEATURES)
    fused, weight = gate(z, torch.full((5,), 300.0), torch.tensor(1.0), images)
    z_image = gate.project(gate.standardised(images))
    torch.testing.assert_close(fused, weight[:, None, None] * z + (1 - weight[:, None, None]) * z_image)


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
    other = ImageGate(ROWS, WIDTH, FEATURES)
    other.load_state_dict(gate.state_dict())
    assert torch.equal(other.mean, gate.mean) and other.sd.min() > 10


def test_a_feature_that_never_varied_says_nothing():
    gate = ImageGate(ROWS, WIDTH, 2)
    gate.standardise_by(torch.tensor([[1.0, 3.0], [2.0, 3.0], [3.0, 3.0]]))
    assert gate.standardised(torch.tensor([[2.0, 4.0]])).tolist() == [[0.0, 0.0]]


def test_the_model_of_counts_is_left_as_it_was(tmp_path):
    model = network().train()
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
        train_gate(network(), reference(), [], checkpoints=tmp_path, device=given_device(0), seed=0)
    assert caught.value.code == "no_sections"


def test_thinning_keeps_each_molecule_with_its_chance():
    counts = torch.full((3, 500), 20.0)
    counts[:, :250] = 0
    generator = torch.Generator().manual_seed(0)
    kept = thin_counts(counts, 0.3, generator)
    assert kept.sum() == pytest.approx(0.3 * 15000, rel=0.05) and (kept <= counts).all()
    assert torch.equal(thin_counts(counts, 1.0, generator), counts) and thin_counts(counts, 0.0).sum() == 0
