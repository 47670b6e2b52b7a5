"""Self-distillation trains, resumes as if never killed, and stops when it has collapsed."""

import math
from dataclasses import replace

import pytest
import torch

from models.spafoundation.toy_cohort import TOY, kinds_of_tiles
from tissuemake.device import given_device
from tissuemake.errors import InputError
from tissuemake.models.spafoundation.collapse import LEAST_RANK, LEAST_TOLD, WATCHED
from tissuemake.models.spafoundation.train import Distiller, train_encoder
from tissuemake.models.streams import step_seed


def train(folder, preset=TOY, seed=0):
    tiles = kinds_of_tiles(96, 0)
    return train_encoder(
        tiles.__getitem__,
        len(tiles),
        kinds_of_tiles(48, 1),
        preset,
        torch.full((3,), 0.5),
        torch.full((3,), 0.2),
        checkpoints=folder,
        device=given_device(0),
        seed=seed,
        progress=False,
    )


def test_a_resumed_run_reaches_the_weights_of_an_undisturbed_one(tmp_path, monkeypatch):
    whole, curve = train(tmp_path / "whole")

    def killed(self, lesson, index, step=Distiller.training_step):
        if self.step == 9:
            raise KeyboardInterrupt
        return step(self, lesson, index)

    monkeypatch.setattr(Distiller, "training_step", killed)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(tmp_path / "pieces")
    monkeypatch.undo()
    pieces, again = train(tmp_path / "pieces")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, pieces.state_dict()[name]), name
    without_time = [{k: v for k, v in c.columns.items() if k != "seconds"} for c in (curve, again)]
    assert without_time[0] == without_time[1]
    assert set(WATCHED) <= set(curve.columns)


def test_the_teacher_follows_the_student_and_the_last_weights_are_kept(tmp_path):
    distiller, curve = train(tmp_path)
    assert curve.best_step == TOY.schedule.steps
    torch.manual_seed(step_seed("network", 0, 0, 0))
    untrained = Distiller(TOY, distiller.mean, distiller.sd)
    for pupil in (untrained.teacher, distiller.student):
        assert not torch.equal(distiller.teacher.tile_head.mlp[0].weight, pupil.tile_head.mlp[0].weight)
    assert not any(weight.requires_grad for weight in distiller.teacher.parameters())


def test_a_healthy_run_is_far_from_collapse(tmp_path):
    longer = replace(TOY, schedule=replace(TOY.schedule, steps=24, validate_every=8))
    _, curve = train(tmp_path, longer)
    told = curve.columns["prototype_entropy"][-1] - curve.columns["teacher_entropy"][-1]
    assert told > 4 * LEAST_TOLD * math.log(TOY.distillation.prototypes)
    # The kinds differ in two ways: colour and grain.
    assert (
        curve.columns["effective_rank"][-1] > max(2.0, LEAST_RANK) and curve.columns["feature_sd"][-1] > 0.3
    )


def test_a_run_without_centring_is_stopped_when_it_collapses(tmp_path):
    recipe = replace(
        TOY.distillation,
        centring="none",
        koleo=0.0,
        teacher_temperature=(0.1, 0.1),
        momentum=(0.5, 0.5),
        frozen=0.0,
    )
    doomed = replace(TOY, distillation=recipe, schedule=replace(TOY.schedule, steps=400, validate_every=10))
    with pytest.raises(InputError, match="collapsed") as refused:
        train(tmp_path, doomed)
    assert refused.value.code == "collapsed"
    assert "Sinkhorn" in refused.value.remedy
