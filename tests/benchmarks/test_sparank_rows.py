"""The model's rows: variants differ in one thing, trainings are shared and kept, answers are what a user gets."""

from dataclasses import asdict

import numpy as np
import pytest

from benchmarks import methods, shifts, simulated, sparank_rows
from benchmarks.sparank_rows import ANY_REFERENCE, OTHER, VARIANTS, Trainer
from tissuemake.contracts import known_shares
from tissuemake.simulate.tissue import stream

SEED = 7


def test_variants_differ_from_the_default_in_one_thing():
    plain = asdict(Trainer().custom("sparank").architecture)
    differences = {
        name: {
            key for key, value in asdict(Trainer().custom(name).architecture).items() if value != plain[key]
        }
        for name in VARIANTS
    }
    assert differences == {"sparank": set(), "sparank_log": {"values"}, OTHER: {"head"}}
    assert len({Trainer().custom(name).schedule for name in VARIANTS}) == 1
    heads = {name: Trainer().custom(name).architecture.head for name in VARIANTS}
    assert all((heads[name] == "query") == (name in ANY_REFERENCE) for name in VARIANTS)


def test_a_model_is_trained_once_until_its_code_changes(work, monkeypatch):
    trained = []

    def pretrain(reference, markers, output, **settings):
        trained.append((settings["seed"], settings["custom"].architecture.values))
        output.mkdir(parents=True)
        (output / "config.json").write_text("{}")

    monkeypatch.setattr(sparank_rows, "pretrain_sparank", pretrain)
    atlas = simulated.source_atlas(SEED, work)
    first = Trainer().model("sparank", atlas, 0, work)
    assert Trainer().model("sparank", atlas, 0, work) == first and len(trained) == 1
    Trainer().model("sparank_log", atlas, 0, work)
    Trainer().model("sparank", atlas, 1, work)
    assert trained == [(0, "rank"), (0, "log"), (1, "rank")]
    monkeypatch.setattr(sparank_rows, "TRAINED_VERSION", "changed")
    assert Trainer(keep_models=True).model("sparank", atlas, 0, work) == first and len(trained) == 3
    assert Trainer().model("sparank", atlas, 0, work) != first and len(trained) == 4


def test_answers_say_unknown_and_sd_on_panels_and_in_another_process(work, tmp_path):
    atlas = simulated.source_atlas(SEED, work)
    model = sparank_rows.hastily_trained(atlas, work)
    shares = simulated.balanced(stream(SEED, "t"), 30)
    problem = simulated.spots_problem("t", SEED, atlas, shares, 0.0, stream(SEED, "s"))
    whole = Trainer().predict(model, problem)
    assert {"unknown", "unknown_sd", f"{simulated.TYPES[0]}_sd"} <= set(whole)
    # Untrained, it is least squares with a correction: already better than chance.
    assert problem.correlations(whole).mean() > 0.5
    small = Trainer().predict(model, shifts.panel(problem, 100, stream(SEED, "p")))
    assert np.isfinite(known_shares(small).to_numpy()).all() and not small.equals(whole)
    problem.spots.write_h5ad(tmp_path / "spots.h5ad")
    output = tmp_path / "shares.parquet"
    cost = methods.in_own_process("sparank", tmp_path / "spots.h5ad", atlas, output, 0, MODEL=model)
    assert cost["seconds"] > 0 and cost["peak_memory_mb"] > 50 and output.is_file()


def test_a_method_that_fails_in_its_process_says_why(work, tmp_path):
    atlas = simulated.source_atlas(SEED, work)
    with pytest.raises(RuntimeError, match=r"nothing\.h5ad"):
        methods.in_own_process("nnls", tmp_path / "nothing.h5ad", atlas, tmp_path / "o", 0)
