"""What is kept where, which tiles networks look at, and what the fine-tuned encoder has seen."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import histology_encoders as encoders
from benchmarks import histology_expression as expression
from benchmarks.histology_encoders import FINE_TUNED, Bench, embedded
from benchmarks.histology_pretraining import _shortened
from benchmarks.histology_sections import Prepared, Problem, copy_tiles, spot_tiles
from tissuemake.histology.tile_store import TileStore, write_tiles
from tissuemake.models.spafoundation.architecture import PRESETS


@pytest.fixture
def section(tmp_path):
    """A section with three spot tiles and three of the grid."""
    rng = np.random.default_rng(0)
    kinds = ["grid", "spot", "grid", "spot", "spot", "grid"]
    table = pd.DataFrame({"kind": kinds, "x": np.arange(6.0)}, index=[f"t{i}" for i in range(6)])
    write_tiles(
        tmp_path / "tiles.arrow", table, rng.integers(0, 255, (6, 16, 16, 3), dtype=np.uint8), {"mpp": 0.5}
    )
    return Prepared("C2", tmp_path / "filtered.h5ad", tmp_path / "tiles.arrow", "C2")


def test_copied_tiles_are_the_same_pictures(section, tmp_path):
    copy_tiles(section.tiles, tmp_path / "copy.arrow", np.array([4, 1]))
    with TileStore(section.tiles) as store, TileStore(tmp_path / "copy.arrow") as copy:
        assert copy.table.equals(store.table.iloc[[4, 1]])
        assert copy.jpegs([0, 1]) == store.jpegs([4, 1])
        assert copy.provenance == store.provenance


def test_networks_look_at_the_tiles_of_spots_and_colour_at_all(section, tmp_path, monkeypatch):
    seen = {}

    def write(bench, prepared, seed, path):
        with TileStore(prepared.tiles) as store:
            seen[path.name] = store.table.index.tolist()

    monkeypatch.setattr(encoders, "WRITERS", {"color": write, "untrained": write, "spafoundation": write})
    bench = Bench(tmp_path, tmp_path / "work")
    bench._sections["C2"] = section
    embedded(bench, "color", "C2", 3)
    embedded(bench, "untrained", "C2", 3)
    assert seen["C2-color.h5ad"] == [f"t{i}" for i in range(6)]
    assert seen["C2-untrained-3.h5ad"] == ["t1", "t3", "t4"]
    with TileStore(spot_tiles(section)) as store:
        assert len(store) == 3


def test_what_a_trial_run_makes_lies_apart_but_for_what_no_network_touched(section, tmp_path, monkeypatch):
    def write(bench, prepared, seed, path):
        path.touch()

    monkeypatch.setattr(encoders, "WRITERS", {"color": write, "spafoundation": write})
    real, trial = Bench(tmp_path, tmp_path), Bench(tmp_path, tmp_path, steps=3)
    for bench in (real, trial):
        bench._sections["C2"] = section
    assert embedded(real, "color", "C2", 0) == embedded(trial, "color", "C2", 0)
    assert embedded(real, "spafoundation", "C2", 0) != embedded(trial, "spafoundation", "C2", 0)
    assert trial.own not in (real.own, real.work) and "trial" in trial.own.name
    preset = _shortened(PRESETS["tiny"], 3)
    assert preset.schedule.steps == 3 and preset.schedule.validate_every <= 3
    assert preset.architecture == PRESETS["tiny"].architecture


def test_fine_tuning_sees_the_training_sections_alone_and_each_split_has_its_own(tmp_path, monkeypatch):
    asked = []

    def embed(bench, encoder, section, seed, taught=()):
        asked.append((section, taught))
        return tmp_path / section

    monkeypatch.setattr(expression, "embedded", embed)
    monkeypatch.setattr(expression, "fit_expression", lambda *args, **settings: None)
    monkeypatch.setattr(expression, "predict_expression", lambda *args: 1 / 0)
    bench = Bench(tmp_path, tmp_path)
    for name in ("C2", "C3", "A1"):
        bench._sections[name] = Prepared(name, tmp_path, tmp_path, name)
    with pytest.raises(ZeroDivisionError):
        expression.by_head(bench, Problem("x", ("C2", "C3"), "A1"), None, FINE_TUNED, "ridge", 0)
    assert asked == [(name, ("C2", "C3")) for name in ("C2", "C3", "A1")]


def test_embeddings_of_encoders_taught_on_other_sections_are_other_files(section, tmp_path, monkeypatch):
    monkeypatch.setattr(encoders, "_fine_tuned", lambda bench, prepared, seed, path, taught: path.touch())
    bench = Bench(tmp_path, tmp_path)
    bench._sections["C2"] = section
    paths = {embedded(bench, FINE_TUNED, "C2", 0, taught) for taught in (("C2", "C3"), ("MOB1",))}
    assert len(paths) == 2
