"""A delivery that is not what its manifest says is told so, file by file, and nothing outside it is read."""

import json
import os
import shutil

import anndata as ad
import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from tissuemake import files
from tissuemake.cli.options import app
from tissuemake.reporting.verify import verify_delivery

SAMPLE = "toy-1"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small delivery by hand: an h5ad, a table, a page, a manifest."""
    folder = tmp_path_factory.mktemp("run") / "delivery"
    folder.mkdir()
    ad.AnnData(np.eye(5, 3, dtype=np.float32)).write_h5ad(folder / f"{SAMPLE}.h5ad")
    (folder / "report.html").write_text("<p>a page</p>")
    (folder.parent / "counts.h5").write_bytes(b"what came in")
    entries = [entry(folder / name, name) for name in (f"{SAMPLE}.h5ad", "report.html")]
    came = [
        entry(folder.parent / "counts.h5", "counts.h5"),
        {"path": "gone.tif", "bytes": 1, "sha256": "0" * 64},
    ]
    manifest = {"sample": SAMPLE, "spots": 5, "inputs": came, "outputs": entries}
    files.write_json(manifest, folder / "manifest.json")
    return folder


def entry(path, name):
    return {"path": name, "bytes": path.stat().st_size, "sha256": files.sha256(path)}


@pytest.fixture
def delivery(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "delivery")
    shutil.copy(whole.parent / "counts.h5", tmp_path)
    return tmp_path / "delivery"


def rewrite(delivery, **changes):
    path = delivery / "manifest.json"
    files.write_json(files.read_json(path) | changes, path)


def found(delivery, **options):
    return [(problem.path, problem.code) for problem in verify_delivery(delivery, **options)]


def test_what_was_not_touched_is_whole(delivery):
    assert found(delivery, inputs=True, run=delivery.parent) == []


@pytest.mark.parametrize("name", [f"{SAMPLE}.h5ad", "report.html"])
def test_one_changed_byte_is_found(delivery, name):
    path = delivery / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert found(delivery) == [(name, "changed")]


def test_missing_and_added_files_are_found(delivery):
    (delivery / "report.html").unlink()
    (delivery / "sub").mkdir()
    (delivery / "sub" / ".hidden").write_text("")
    assert found(delivery) == [("report.html", "missing"), ("sub/.hidden", "extra")]


def test_without_a_manifest_nothing_is_vouched_for(delivery):
    (delivery / "manifest.json").unlink()
    assert found(delivery) == [("manifest.json", "no_manifest")]
    assert found(delivery / "nowhere") == [("manifest.json", "no_manifest")]
    assert found(delivery / "report.html") == [("manifest.json", "no_manifest")]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"inputs": [], "outputs": []}', '{"inputs": [], "outputs": [{"path": 3}]}', "\xff"],
)
def test_a_manifest_that_is_none_is_said_to_be_bad(delivery, text):
    (delivery / "manifest.json").write_bytes(text.encode("latin-1"))
    assert found(delivery) == [("manifest.json", "bad_manifest")]


@pytest.mark.parametrize(
    "name", ["../counts.h5", "/etc/hostname", "sub/../../counts.h5", "..\\counts.h5", "C:x", ""]
)
def test_paths_that_leave_the_delivery_are_not_opened(delivery, name, monkeypatch):
    (delivery / "sub").mkdir()
    kept = files.read_json(delivery / "manifest.json")["outputs"]
    rewrite(delivery, outputs=[*kept, {"path": name, "sha256": "0"}])
    opened = []
    monkeypatch.setattr("tissuemake.files.sha256", lambda path: opened.append(path) or "")
    assert (name, "outside") in found(delivery)
    assert {path.name for path in opened} == {f"{SAMPLE}.h5ad", "report.html"}


def test_a_link_is_neither_followed_nor_passed_over(delivery):
    (delivery / "report.html").unlink()
    (delivery / "report.html").symlink_to(delivery.parent / "counts.h5")
    (delivery / "more").symlink_to(delivery.parent, target_is_directory=True)
    assert found(delivery) == [("report.html", "outside"), ("more", "extra")]
    shutil.move(delivery / "manifest.json", delivery.parent)
    (delivery / "manifest.json").symlink_to(delivery.parent / "manifest.json")
    assert found(delivery) == [("manifest.json", "bad_manifest")]


def test_an_h5ad_of_another_number_of_spots_is_found(delivery):
    rewrite(delivery, spots=6)
    assert found(delivery) == [(f"{SAMPLE}.h5ad", "wrong_size")]


def test_an_h5ad_that_was_delivered_broken_is_found(delivery):
    path = delivery / f"{SAMPLE}.h5ad"
    with h5py.File(path, "a") as file:
        del file["X"]
    kept = files.read_json(delivery / "manifest.json")["outputs"][1]
    rewrite(delivery, outputs=[entry(path, path.name), kept])
    assert found(delivery) == [(path.name, "unreadable")]
    with h5py.File(path, "a") as file:
        file["X"] = np.eye(4, 3)
    rewrite(delivery, outputs=[entry(path, path.name), kept])
    assert found(delivery) == [(path.name, "unreadable")]
    path.write_bytes(b"no HDF5 at all")
    rewrite(delivery, outputs=[entry(path, path.name), kept])
    assert found(delivery) == [(path.name, "unreadable")]


def test_a_manifest_without_the_sample_is_bad(delivery):
    rewrite(delivery, sample="another")
    assert found(delivery) == [("another.h5ad", "bad_manifest")]


def test_inputs_are_looked_at_when_asked_and_where_they_are(delivery):
    (delivery.parent / "counts.h5").write_bytes(b"what came in later")
    assert found(delivery) == []
    assert found(delivery, inputs=True, run=delivery) == []  # not there
    assert found(delivery, inputs=True, run=delivery.parent) == [("counts.h5", "input_changed")]


def test_the_command_prints_a_row_per_problem(delivery, whole):
    run = CliRunner().invoke(app, ["verify", str(whole)])
    assert run.exit_code == 0
    assert files.sha256(whole / "manifest.json") in run.output
    (delivery / "report.html").write_text("another")
    (delivery / "two\nlines\x1b[2J").write_text("")
    run = CliRunner().invoke(app, ["verify", str(whole), str(delivery)])
    assert run.exit_code == 1
    rows = [line.split("\t")[:3] for line in run.output.splitlines()[1:]]
    assert rows == [[str(delivery), "changed", "report.html"], [str(delivery), "extra", "two?lines?[2J"]]


def test_entries_named_twice_are_bad(delivery):
    kept = json.loads((delivery / "manifest.json").read_text())["outputs"]
    rewrite(delivery, outputs=[*kept, kept[1]])
    assert found(delivery) == [("report.html", "bad_manifest")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_does_not_hang_it(delivery):
    (delivery / "report.html").unlink()
    os.mkfifo(delivery / "report.html")
    assert found(delivery) == [("report.html", "missing")]
