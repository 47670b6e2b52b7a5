"""A drop folder becomes rows: what is whole is taken once, what grows waits, what a person wrote stays."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import whole_folders
from dropped_sections import section
from tissuemake.cli import app
from tissuemake.errors import InputError
from tissuemake.files import read_json
from tissuemake.ingest import ingest_sample
from tissuemake.intake import scan_inbox
from tissuemake.intake.memory import one_scan_at_a_time
from tissuemake.sheets import Sample, read_samples


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run" / "config").mkdir(parents=True)
    return tmp_path / "run"


def scan(inbox: Path, run: Path, **more: object):
    return scan_inbox(inbox, run, **{"settle": 0, **more})


def sheet(run: Path) -> Path:
    return run / "config" / "samples.tsv"


def test_new_samples_become_rows_and_stay_them(inbox, run):
    section(inbox / "monday" / "liver A", 1)
    whole_folders.xenium(inbox / "monday" / "lungs", np.diag([1 / 0.2125, 1 / 0.2125, 1]))
    result = scan(inbox, run)
    rows = read_samples(sheet(run)).rows
    assert {name: row.assay for name, row in rows.items()} == {"liver-A": "visium", "lungs": "xenium"}
    assert rows["liver-A"].image == str(inbox / "monday" / "liver A" / "slide.tif")
    assert rows["lungs"].alignment.endswith("alignment.csv") and rows["lungs"].image.endswith("slide.tif")
    assert {row.organism for row in rows.values()} == {"human"} and not any(
        row.pretrain for row in rows.values()
    )
    assert not result.waiting and not result.left_out
    before = sheet(run).read_bytes()
    again = scan(inbox, run)
    assert (
        not again.taken
        and not again.left_out
        and [known.sample for known in again.known] == ["liver-A", "lungs"]
    )
    assert sheet(run).read_bytes() == before


def test_a_dry_run_writes_nothing(inbox, run):
    section(inbox / "a1234", 1)
    assert [outcome.sample for outcome in scan(inbox, run, dry_run=True).taken] == ["a1234"]
    assert not list((run / "config").iterdir())


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_what_a_person_wrote_stays_byte_for_byte(inbox, run, end):
    """Columns in an order of their own, comments, no last line end; a column that lacks comes last."""
    line = end or b"\n"
    written = (
        line.join([b"# mine", b"assay\tsample\tpath\tdonor", b"visium\told\tnowhere/outs\tp1", b"# later: x"])
        + end
    )
    sheet(run).write_bytes(written)
    section(inbox / "fresh", 1)
    scan(inbox, run)
    after = sheet(run).read_bytes()
    first, rest = written.split(b"donor", 1)
    assert after.startswith(first + b"donor\timage\torganism" + rest)
    assert after.count(line) == after.count(b"\n") and after.endswith(line)
    assert list(read_samples(sheet(run)).rows) == ["old", "fresh"]


def test_a_row_taken_out_or_renamed_by_a_person_does_not_come_back(inbox, run):
    section(inbox / "first", 1)
    section(inbox / "second", 2)
    scan(inbox, run)
    lines = sheet(run).read_text().splitlines(keepends=True)
    edited = "".join(
        line.replace("second\t", "renamed\t", 1) for line in lines if not line.startswith("first\t")
    )
    sheet(run).write_text(edited)
    for _ in range(2):
        result = scan(inbox, run)
        assert [(outcome.code, outcome.sample) for outcome in result.left_out] == [("removed", "first")]
        assert [known.sample for known in result.known] == ["renamed"] and sheet(run).read_text() == edited


def test_the_same_counts_are_left_out_whatever_they_are_called(inbox, run):
    """Also when they lie as an mtx under a prefix, and when the row was written by a person."""
    outs = section(inbox / "original", 1)
    sheet(run).write_text(f"sample\tassay\tpath\nby-hand\tvisium\t{outs.parent}\n")
    copy = inbox / "copy" / "x"
    copy.mkdir(parents=True)
    shutil.copytree(outs / "spatial", copy / "GSM1_spatial")
    shutil.copyfile(outs / "filtered_feature_bc_matrix.h5", copy / "GSM1_filtered_feature_bc_matrix.h5")
    result = scan(inbox, run)
    assert [known.sample for known in result.known] == ["by-hand"] and not result.taken
    assert [(outcome.code, outcome.sample) for outcome in result.left_out] == [("duplicate", "by-hand")]
    assert "by-hand" in result.left_out[0].message
    assert [outcome.code for outcome in scan(inbox, run).left_out] == ["duplicate"]


def test_a_section_sequenced_again_gets_a_row_of_its_own(inbox, run):
    section(inbox / "older", 1)
    scan(inbox, run)
    section(inbox / "elsewhere", 2, shift=7)
    section(inbox / "week2" / "older", 3)
    taken = {outcome.sample: outcome for outcome in scan(inbox, run).taken}
    assert list(taken) == ["older_2", "older_3"]
    assert taken["older_2"].code == "sequenced_again" and "same section as older " in taken["older_2"].message
    assert "Another sample is called older" in taken["older_3"].message


def test_what_still_grows_waits(inbox, run):
    outs = section(inbox / "growing", 1)
    result = scan(inbox, run, settle=300)
    assert [outcome.code for outcome in result.waiting] == ["just_arrived"] and "300 s" in result.waiting[
        0
    ].message
    (outs / "web_summary.html").write_text("more")
    waiting = scan(inbox, run, settle=300).waiting
    assert [outcome.code for outcome in waiting] == ["growing"] and "+0.0 MB" in waiting[0].message
    partial = outs / "raw_feature_bc_matrix.h5.part"
    partial.write_bytes(b"x")
    assert [outcome.code for outcome in scan(inbox, run).waiting] == ["copying"]
    partial.rename(outs / ".raw_feature_bc_matrix.h5.aB3xYz")
    assert [outcome.code for outcome in scan(inbox, run).waiting] == ["copying"]
    (outs / ".raw_feature_bc_matrix.h5.aB3xYz").unlink()
    assert [outcome.sample for outcome in scan(inbox, run).taken] == ["growing"]


def test_a_sample_waits_for_the_image_beside_it(inbox, run, monkeypatch):
    """The counts are an hour old; the scanner's file came just now, and lies in a folder of its own."""
    section(inbox / "week47" / "S12345", 1)
    (inbox / "week47" / "slides").mkdir()
    image = (inbox / "week47" / "S12345" / "slide.tif").rename(inbox / "week47" / "slides" / "S12345.tif")
    fresh = image.stat().st_ino
    monkeypatch.setattr("tissuemake.intake.scan.time.time", lambda: 3600.0)
    monkeypatch.setattr("tissuemake.intake.walk.changed", lambda about: 3500.0 * (about.st_ino == fresh))
    (waiting,) = scan(inbox, run, settle=300).waiting
    assert "The image S12345.tif beside it changed 100 s ago" in waiting.message
    (taken,) = scan(inbox, run, settle=50).taken
    assert taken.row["image"] == str(image)


@pytest.mark.parametrize("pixels_are_read", [True, False])
def test_an_image_cut_short_leaves_its_sample_out(inbox, run, monkeypatch, pixels_are_read):
    """Of a pyramid the pixels that are looked at may all be there."""
    if not pixels_are_read:
        monkeypatch.setattr("tissuemake.intake.pictures.check_slide", lambda sample, path: None)
    section(inbox / "short", 1)
    slide = inbox / "short" / "slide.tif"
    whole = slide.read_bytes()
    slide.write_bytes(whole[:-2000])
    (left,) = scan(inbox, run).left_out
    assert left.code == "corrupt_slide" and "slide.tif" in left.message
    slide.write_bytes(whole)
    assert [outcome.row["image"] for outcome in scan(inbox, run).taken] == [str(slide)]


def test_times_ahead_of_the_clock_are_settled_by_two_scans(inbox, run, monkeypatch):
    section(inbox / "ahead", 1)
    clock = [0.0]  # long before any file
    monkeypatch.setattr("tissuemake.intake.scan.time.time", lambda: clock[0])
    for now, state in ((0.0, "waiting"), (100.0, "waiting"), (301.0, "taken")):
        clock[0] = now
        result = scan(inbox, run, settle=300)
        assert len(getattr(result, state)) == 1, now


@pytest.mark.parametrize("name", ["filtered_feature_bc_matrix.h5", "spatial/tissue_positions.csv"])
def test_what_is_half_there_waits_and_is_taken_when_whole(inbox, run, tmp_path, name):
    outs = section(inbox / "half", 1)
    shutil.move(outs / name, tmp_path / "kept")
    waiting = scan(inbox, run).waiting
    assert [outcome.code for outcome in waiting] == [
        "missing_positions" if "spatial" in name else "missing_matrix"
    ]
    shutil.move(tmp_path / "kept", outs / name)
    assert [outcome.sample for outcome in scan(inbox, run).taken] == ["half"]


def test_a_damaged_one_is_left_out_and_the_others_are_taken(inbox, run):
    outs = section(inbox / "damaged", 1)
    matrix = outs / "filtered_feature_bc_matrix.h5"
    matrix.write_bytes(matrix.read_bytes()[:2000])
    section(inbox / "whole", 2)
    result = scan(inbox, run)
    assert [outcome.sample for outcome in result.taken] == ["whole"]
    assert result.left_out[0].code == "unreadable_matrix" and result.left_out[0].remedy
    assert not result.nothing_readable()
    found = read_json(run / "config" / "inbox.json")["inboxes"][str(inbox)]["found"]
    assert (
        found["damaged/outs"]["state"] == "left_out"
        and found["whole/outs"]["proposal"]["organism"]["sure"] == "sure"
    )


def test_files_changed_in_place_are_said(inbox, run):
    outs = section(inbox / "place", 1)
    scan(inbox, run)
    whole_folders.write_matrix(
        outs / "filtered_feature_bc_matrix.h5",
        whole_folders.counts(5),
        list(whole_folders.spots()["barcode"]),
        whole_folders.genes(),
    )
    assert [(known.code, known.sample) for known in scan(inbox, run).known] == [("changed", "place")]


def test_the_reference_is_proposed_that_looks_like_the_sample(inbox, run, tmp_path):
    cells = ["reference\tpath\tlabel_key\torganism"]
    for name, organism in (("near", "human"), ("murine", "mouse")):
        row = whole_folders.atlas(tmp_path / name, organism)
        cells.append(f"{name}\t{row['path']}\tcell_type\t{organism}")
    (run / "config" / "references.tsv").write_text("\n".join(cells) + "\n")
    section(inbox / "sample", 1)
    (proposal,) = [outcome.proposal for outcome in scan(inbox, run).taken]
    assert proposal["reference"]["value"] == "" and "nearest is near" in proposal["reference"]["why"]


def test_a_second_scan_at_once_is_refused_and_a_changed_sheet_kept(inbox, run):
    section(inbox / "one", 1)
    with one_scan_at_a_time(run), pytest.raises(InputError, match="Another scan") as caught:
        scan(inbox, run)
    assert caught.value.code == "scan_running" and not sheet(run).exists()


def test_a_sheet_that_a_person_must_mend_stops_the_scan(inbox, run):
    section(inbox / "one", 1)
    sheet(run).write_text("sample\tassay\tpaht\n")
    with pytest.raises(InputError) as caught:
        scan(inbox, run)
    assert caught.value.code == "unknown_column" and sheet(run).read_text() == "sample\tassay\tpaht\n"


def test_runs_and_what_they_wrote_are_no_samples(inbox, run):
    """The run itself may lie in the box, other runs may, and somebody may copy a result into it."""
    section(inbox / "other-run" / "kept", 1)
    (inbox / "other-run" / ".snakemake").mkdir()
    row = Sample("x", "visium", str(section(run.parent / "elsewhere", 2)))
    ingest_sample(row, inbox / "ingested.h5ad")
    shutil.move(run, inbox / "run")
    section(inbox / "run" / "results", 3)
    result = scan(inbox, inbox / "run")
    reasons = {Path(outcome.path).name: outcome.code for outcome in result.left_out}
    assert reasons == {"other-run": "run_folder", "ingested.h5ad": "own_result"} and not result.taken


def test_an_inbox_that_is_not_there_is_an_error(tmp_path, run):
    with pytest.raises(InputError) as caught:
        scan(tmp_path / "nowhere", run)
    assert caught.value.code == "missing_inbox"


def test_the_command_prints_a_table_and_its_status_says_whether_anything_was_read(inbox, run):
    def command(*arguments: str):
        return CliRunner().invoke(app, ["scan", str(inbox), "--run", str(run), "--settle", "0", *arguments])

    bad = section(inbox / "damaged", 1) / "filtered_feature_bc_matrix.h5"
    bad.write_bytes(b"nothing")
    shown = command()
    assert shown.exit_code == 1 and "left out  damaged/outs" in shown.output
    assert "unreadable_matrix: " in shown.output and "remedy: " in shown.output
    section(inbox / "whole", 2)
    shown = command("--dry-run")
    assert shown.exit_code == 0 and "taken     whole/outs\n          as whole (visium)" in shown.output
    assert "organism human, sure: Ensembl ids" in shown.output and "image whole/slide.tif" in shown.output
    assert (
        "1 taken, 0 waiting, 1 left out, 0 known already" in shown.output
        and "nothing written" in shown.output
    )
    assert not sheet(run).exists()
    assert command().exit_code == 0 and sheet(run).exists()
    assert "0 taken, 0 waiting, 1 left out, 1 known already" in command().output
