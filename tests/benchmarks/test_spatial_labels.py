"""Clusterers, probes and patients of the tests on labelled sections."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import spatial_labels, spatial_layers
from benchmarks.spatial_labels import PROBLEMS, probe
from benchmarks.spatial_layers import leiden, smoothed
from benchmarks.test_spatial_panel import cells
from tissuemake.domains import clusterers
from tissuemake.evaluation.metrics import adjusted_rand


def section(seed: int, shift: float = 0.0) -> tuple[np.ndarray, pd.Series]:
    """Three labels, told apart along two of six columns; the whole section is shifted."""
    rng = np.random.default_rng(seed)
    names = rng.choice(["tumour", "stroma", "fat"], 150, p=[0.6, 0.3, 0.1])
    vectors = rng.normal(size=(150, 6)) + shift
    vectors[:, 0] += 4 * (names == "stroma")
    vectors[:, 1] += 4 * (names == "fat")
    return vectors, pd.Series(names)


def test_no_patient_teaches_and_asks_and_the_network_learns_from_the_teachers_alone():
    assert [problem.asked for problem in PROBLEMS] == ["A1", "C1", "D1"]
    for problem in PROBLEMS:
        for name in (*problem.teachers, *problem.unlabelled):
            assert name[0] != problem.asked[0]
        assert len(problem.teachers) == 2 and set(problem.teachers) < set(problem.unlabelled)


def test_the_probe_finds_labels_of_a_section_that_lies_elsewhere():
    (one, a), (other, b), (asked, truth) = section(0), section(1, 3.0), section(2, -5.0)
    found = probe([one, other], [a, b], asked)
    assert (found == truth).mean() > 0.9
    a[:100] = None
    few = probe([one, other], [a, b], asked)
    assert (few == truth).mean() > 0.85
    assert (probe([one[:, 2:], other[:, 2:]], [a, b], asked[:, 2:]) == truth).mean() < 0.75


def test_leiden_is_asked_for_as_many_domains_as_there_are_layers():
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(7), 60)
    centres = np.eye(7) * 12
    found = leiden(centres[truth] + rng.normal(size=(420, 7)), 0)
    assert len(np.unique(found)) == 7 and adjusted_rand(found, truth) > 0.95


@pytest.mark.parametrize("per_resolution", [5, 100])
def test_leiden_looks_for_the_resolution_on_either_side(per_resolution, monkeypatch):
    def labels(rows, resolution, seed):
        return np.arange(len(rows)) % max(1, round(per_resolution * resolution))

    monkeypatch.setattr(clusterers, "leiden_labels", labels)
    assert len(np.unique(leiden(np.random.default_rng(0).normal(size=(90, 3)), 0))) == 7


def test_smoothing_averages_a_spot_with_two_rings_and_nobody_else():
    spots = cells(0)
    spots.uns["tissuemake"]["pitch_um"] = 10.0
    ramp = np.asarray(spots.obsm["spatial"])[:, :1]
    single = np.zeros((spots.n_obs, 1))
    middle = 8 * 16 + 8
    single[middle] = 21.0
    assert smoothed(ramp, spots)[middle] == pytest.approx(ramp[middle])
    found = smoothed(single, spots).ravel()
    assert found[middle] == pytest.approx(1.0) and (found > 0).sum() == 21


@pytest.mark.parametrize("module", [spatial_labels, spatial_layers])
def test_parts_are_grouped_by_problem(module, monkeypatch):
    monkeypatch.setattr(spatial_layers.peers, "python", lambda name: None)
    problems = [problem.name for problem, _ in module.parts("any")]
    assert problems == sorted(problems, key=problems.index)
    methods = [method for problem, method in module.parts("any") if problem.name == problems[0]]
    assert len(methods) == len(set(methods))
    assert not [name for name in methods if "MOFA" in name or "CellCharter" in name]
    assert any(name.startswith("sagefm") for name in methods)
