"""Optional methods: what they say when absent, and the choices around them that need no install."""

import importlib.util

import numpy as np
import pytest

from tissuemake.deconvolution import cell2location, tangram
from tissuemake.errors import InputError

METHODS = {"tangram": tangram, "cell2location": cell2location}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_absent_method_says_how_to_install_it(name, toy_spots, toy_reference):
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed here")
    toy = toy_reference
    with pytest.raises(InputError) as caught:
        METHODS[name].proportions(toy_spots[0], toy.atlas, toy.signatures, toy.markers, 0)
    assert caught.value.code == "missing_extra"
    assert f"tissuemake[{name}]" in caught.value.remedy
    assert f"envs/{name}.yaml" in caught.value.remedy


@pytest.mark.parametrize("name", sorted(METHODS))
def test_installed_method_recovers_a_mixture(name, toy_spots, toy_reference, monkeypatch):
    """Runs where the extra is installed (its own environment), with few epochs."""
    pytest.importorskip(name)
    for setting, value in {"EPOCHS": 300, "REFERENCE_EPOCHS": 30, "SAMPLES": 20}.items():
        if hasattr(METHODS[name], setting):
            monkeypatch.setattr(METHODS[name], setting, value)
    spots, truth = toy_spots
    toy = toy_reference
    found = METHODS[name].proportions(spots, toy.atlas, toy.signatures, toy.markers, 0)
    correlation = [np.corrcoef(found[kind], truth[kind])[0, 1] for kind in truth]
    assert np.mean(correlation) > 0.5


def test_large_atlases_are_thinned_from_the_largest_types():
    kinds = np.repeat(["common", "rare", "usual"], [1000, 5, 100])
    chosen = tangram.balanced_cells(kinds, 200, seed=0)
    names, sizes = np.unique(kinds[chosen], return_counts=True)
    assert dict(zip(names, sizes, strict=True)) == {"common": 97, "rare": 5, "usual": 97}
    assert len(tangram.balanced_cells(kinds, 5000, seed=0)) == len(kinds)


@pytest.mark.parametrize(("diameter", "cells"), [(55.0, 8), (100.0, 26), (8.0, 1), (0.0, 8)])
def test_cells_under_a_spot_follow_its_area(diameter, cells, toy_spots):
    spots = toy_spots[0].copy()
    spots.uns["tissuemake"] = {"spot_diameter_um": diameter}
    assert cell2location.cells_per_spot(spots) == cells
