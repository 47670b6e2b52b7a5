"""A cut benchmark goes on where it stopped; code that changed is run again; rows keep their contract."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from benchmarks import deconvolution, fingerprint, methods, speed, throughput
from benchmarks.problems import Problem, counted
from benchmarks.protocols import TESTS, Bench, Score, Test
from tissuemake.contracts import EVALUATION, read_table


@pytest.fixture
def asked(monkeypatch):
    """A test that notes who was asked; the third call is cut."""
    calls = []

    def score(bench, method, seed):
        calls.append((method, seed))
        if len(calls) == 3:
            raise KeyboardInterrupt
        yield Score("toy", "r", 0.1 * seed)

    monkeypatch.setitem(TESTS, "toy", Test(score, ("uniform", "nnls")))
    return calls


def test_a_cut_run_goes_on(asked, tmp_path):
    bench = Bench(tmp_path, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        deconvolution.run(["toy"], [0, 1], bench, [])
    rows, _ = deconvolution.run(["toy"], [0, 1], bench, [])
    assert asked == [("uniform", 0), ("nnls", 0), ("uniform", 1), ("uniform", 1), ("nnls", 1)]
    assert rows[["method", "seed", "value"]].values.tolist() == [
        ["uniform", 0, 0.0],
        ["nnls", 0, 0.0],
        ["uniform", 1, 0.1],
        ["nnls", 1, 0.1],
    ]


def test_a_later_run_of_another_test_keeps_the_rows(asked, tmp_path):
    bench, output = Bench(tmp_path, tmp_path), tmp_path / "deconvolution.parquet"
    rows, _ = deconvolution.run(["toy"], [0], bench, [])
    deconvolution.write(rows, output)
    deconvolution.write(rows.assign(test="other", value=0.5), output)
    table = read_table(output, EVALUATION)
    assert set(table["test"]) == {"toy", "other"} and {"seed", "kind"} <= set(table)
    assert table["sample"].eq("toy").all()


def test_code_is_what_it_says_not_how_it_is_told(tmp_path):
    path = tmp_path / "a.py"
    versions = []
    for text in ('"""One."""\nx = 1\n', '"""Two."""\n# why\nx  =  1\n', "x = 2\n"):
        path.write_text(text)
        versions.append(fingerprint.of_code(path))
    assert versions[0] == versions[1] != versions[2]


def test_seconds_are_reckoned_from_a_few_epochs():
    # 10 s of preparation, 2 s an epoch, 0.5 s a sample.
    few = ({"EPOCHS": 1, "S": 2}, {"EPOCHS": 4, "S": 2}, {"EPOCHS": 1, "S": 6})
    full = {"EPOCHS": 100, "S": 10}
    seconds = [10 + 2 * part["EPOCHS"] + 0.5 * part["S"] for part in few]
    assert speed.extrapolate(few, seconds, full) == pytest.approx(10 + 200 + 5)
    # A busy machine: noise in a lesser part is kind to the method, in the main one it says nothing.
    assert speed.extrapolate(few, [13, 19, 12], full) == pytest.approx(13 + 2 * 99)
    assert np.isnan(speed.extrapolate(few, [13, 12, 15], full))


def test_speed_is_that_of_processors_beside_cell2location(tmp_path, monkeypatch):
    """A clock that a busy machine stretches tenfold does not change how many times faster a method is."""
    epochs = {"tangram": 2.0, "cell2location": 3.0}

    def run(name, spots, atlas, output, seed, **options):
        worked = 5 + epochs.get(name, 0) * options.get("EPOCHS", 0)
        return {"seconds": 10 * worked, "cpu_seconds": worked, "peak_memory_mb": 7.0}

    monkeypatch.setattr(methods, "in_own_process", run)
    monkeypatch.setattr(methods, "peer_python", lambda name: "python")
    monkeypatch.setattr(speed.simulated, "source_atlas", lambda *given, **options: None)
    monkeypatch.setattr(speed.sparank_rows, "hastily_trained", lambda *given: "folder")
    (tmp_path / "speed.h5ad").touch()
    missing = {}
    rows = {(method, metric): value for _, method, metric, value in speed._inference(tmp_path, [], missing)}
    assert rows["cell2location (reckoned)", "CPU seconds"] == pytest.approx(5 + 3 * 30_000)
    assert rows["cell2location (reckoned)", "seconds"] == pytest.approx(10 * (5 + 3 * 30_000))
    assert rows["tangram (reckoned)", "CPU seconds an epoch"] == pytest.approx(2)
    assert rows["sparank", "times faster than cell2location"] == pytest.approx(1 + 3 * 6000)
    assert rows["nnls", "times faster than cell2location of 1,000 epochs"] == pytest.approx(1 + 3 * 200)
    assert set(missing) == {"the full training of tangram", "the full training of cell2location"}


def test_matrix_rate_is_a_rate():
    small = throughput.matmul_rate(64, "fp32", least_seconds=0.01)
    assert np.isfinite(small) and small > 0


def test_missing_methods_are_named(tmp_path, asked, monkeypatch):
    monkeypatch.setattr(
        deconvolution, "skipped", lambda method, seed, bench: "why" if method == "nnls" else ""
    )
    rows, missing = deconvolution.run(["toy"], [0], Bench(tmp_path, tmp_path), [])
    assert missing == {"nnls": "why"}
    assert isinstance(rows, pd.DataFrame) and set(rows["method"]) == {"uniform"}


@pytest.mark.parametrize(("text", "seeds"), [("3", [0, 1, 2]), ("4,7", [4, 7]), ("1", [0])])
def test_seeds_are_how_many_or_which(text, seeds):
    assert deconvolution.which(text) == seeds


def test_peers_are_asked_once_and_only_with_an_interpreter(tmp_path, monkeypatch):
    bench = Bench(tmp_path, tmp_path)
    monkeypatch.setattr(deconvolution.methods, "peer_python", lambda name: None)
    assert "TISSUEMAKE_PEERS" in deconvolution.skipped("tangram", 0, bench)
    monkeypatch.setattr(deconvolution.methods, "peer_python", lambda name: "python")
    assert not deconvolution.skipped("tangram", 0, bench)
    assert "one seed" in deconvolution.skipped("tangram", 1, bench)
    assert "--cell2location-epochs" in deconvolution.skipped("cell2location", 0, bench)
    assert not deconvolution.skipped("cell2location", 0, Bench(tmp_path, tmp_path, epochs=10))
    assert not deconvolution.skipped(deconvolution.sparank_rows.OTHER, 0, bench)
    assert "one seed" in deconvolution.skipped(deconvolution.sparank_rows.OTHER, 1, bench)


def test_what_a_peer_answers_becomes_shares_and_is_asked_for_once(tmp_path, monkeypatch):
    names = pd.Index(["s1", "s2", "s3"])
    genes = pd.DataFrame({"gene_id": ["", ""]}, index=["g1", "g2"])
    spots = counted(sp.csr_matrix(np.ones((3, 2), dtype=np.float32)), names, genes)
    problem = Problem("toy", spots, SimpleNamespace(key="k", folder=tmp_path), pd.DataFrame(index=names))
    asked = []

    def run(name, spots, atlas, output, seed, **options):
        asked.append(name)
        # Weights, not shares, and no row for a spot without counts.
        pd.DataFrame({"A": [3.0, 0.0], "B": [1.0, 5.0]}, index=["s2", "s1"]).to_parquet(output)
        return {"seconds": 2.0, "peak_memory_mb": 9.0}

    monkeypatch.setattr(methods, "in_own_process", run)
    for _ in range(2):
        shares = methods.peer("tangram", problem, 0, tmp_path)
        assert shares.to_numpy().tolist() == [[0, 1], [0.75, 0.25], [0.5, 0.5]]
        assert shares.attrs["seconds"] == 2.0
    assert asked == ["tangram"]
