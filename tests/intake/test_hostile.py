"""A hostile drop folder: all of it is refused with a reason, nothing outside is read or written, text stays text."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import whole_folders
from dropped_sections import section
from intake.hostile import MATRIX, rows, scanned
from tissuemake.ingest import open_reader
from tissuemake.intake import scan_inbox
from tissuemake.sheets import Sample

# What leads out of the box.


@pytest.mark.parametrize("what", [MATRIX, "spatial/tissue_positions.csv", "analysis"])
def test_a_sample_with_a_link_out_of_the_box_is_refused(inbox, what):
    outs = section(inbox / "sample", 1)
    (outs / what).unlink(missing_ok=True)
    (outs / what).symlink_to(inbox.parent / ("run" if what == "analysis" else "outside.h5"))
    assert scanned(inbox)["sample/outs"] == "link_out_of_inbox" and not rows(inbox)


def test_links_to_folders_outside_loops_and_links_to_nowhere_are_not_followed(inbox):
    section(inbox.parent / "elsewhere", 1)
    section(inbox / "sample", 2)
    (inbox / "door").symlink_to(inbox.parent / "elsewhere")
    (inbox / "etc").symlink_to("/etc")
    (inbox / "loop").symlink_to(inbox)
    (inbox / "nowhere").symlink_to(inbox / "gone")
    (inbox / "sample" / "pyramid.tif").symlink_to("/etc/passwd")
    left = scanned(inbox)
    assert {left[name] for name in ("door", "etc", "sample/pyramid.tif")} == {"link_out_of_inbox"}
    assert left["nowhere"] == "broken_link" and list(rows(inbox)) == ["sample"]


@pytest.mark.parametrize(
    "name", ["$HOME", "{wildcard}", "tab\tin", "line\nbreak", " blank", "x" * 201, "bell\x07", "next\x85line"]
)
def test_names_that_cannot_stand_in_a_sheet_are_refused(inbox, name):
    section(inbox / name, 1)
    section(inbox / "fine", 2)
    (code,) = scanned(inbox).values()
    assert code == "unfit_name" and list(rows(inbox)) == ["fine"]


def test_names_that_are_not_utf8_are_refused(inbox):
    Path(os.fsdecode(os.fsencode(inbox) + b"/caf\xe9")).mkdir()
    section(inbox / "fine", 2)
    result = scan_inbox(inbox, inbox.parent / "run", settle=0)
    assert [outcome.code for outcome in result.left_out] == ["unfit_name"] and list(rows(inbox)) == ["fine"]


def test_html_and_formulas_in_names_reach_the_sheet_as_paths_only(inbox):
    section(inbox / "<img src=x onerror=alert(1)>", 1)
    section(inbox / "=HYPERLINK(1)", 2)
    assert not scanned(inbox)
    assert sorted(rows(inbox)) == ["HYPERLINK-1", "img-src-x-onerror-alert-1"]
    for line in (inbox.parent / "run" / "config" / "samples.tsv").read_text().splitlines():
        assert not any(cell.startswith(tuple("=+-@")) for cell in line.split("\t"))


def test_a_pipe_and_a_tower_of_folders_do_not_hold_up_a_scan(inbox):
    os.mkfifo(inbox / "pipe.h5ad")
    (inbox / "/".join("d" * 20)).mkdir(parents=True)
    section(inbox / "fine", 1)
    assert sorted(scanned(inbox).values()) == ["no_plain_file", "too_deep"] and list(rows(inbox)) == ["fine"]


@pytest.mark.parametrize("stated", ["../outside.tif", "/etc/passwd", "$HOME", 7, None])
def test_a_bundle_that_states_an_image_outside_of_it_is_not_followed(tmp_path, stated):
    bundle = Path(whole_folders.xenium(tmp_path, np.eye(3))["path"])
    whole_folders.write_image(tmp_path / "outside.tif")
    (bundle / "experiment.xenium").write_text(json.dumps({"images": {"morphology_focus_filepath": stated}}))
    assert open_reader(Sample("x", "xenium", str(bundle))).morphology is None


@pytest.mark.parametrize(
    "text", ["[]", "7", '{"pixel_size": 0}', '{"pixel_size": "a"}', '{"pixel_size": NaN}']
)
def test_a_bundle_that_states_nonsense_is_refused(inbox, text):
    bundle = Path(whole_folders.xenium(inbox / "sample", np.eye(3))["path"])
    (bundle / "experiment.xenium").write_text(text)
    assert scanned(inbox)["sample/bundle"] == "bad_experiment" and not rows(inbox)


# What vendors and sheets say of themselves.

SCRIPT = "<script>alert(1)</script>"


def test_html_in_metadata_is_text_in_the_page_and_formulas_are_text_in_tables(tmp_path):
    """Software and chemistry as the matrix states them; tissue and donor as the sheet does."""
    from tissuemake.quality.check import check_sample
    from tissuemake.reporting.cohort_page import report_cohort

    outs = Path(whole_folders.visium(tmp_path / "vendor")["path"])
    with h5py.File(outs / MATRIX, "a") as handle:
        handle.attrs["software_version"] = handle.attrs["chemistry_description"] = SCRIPT
    row = Sample("sample", "visium", str(outs), tissue=f"=cmd|'{SCRIPT}'!A0", donor="@SUM(1)")
    check_sample(row, tmp_path / "check.json")
    assert SCRIPT in (tmp_path / "check.json").read_text()
    page, table = tmp_path / "report" / "index.html", tmp_path / "report" / "quality.tsv"
    report_cohort(
        checks={"sample": tmp_path / "check.json"}, rejected={}, rows={"sample": row.as_dict()}, evaluations=[],
        filtered={}, proportions={}, imputed={}, domains={}, output=page, quality=table,
    )  # fmt: skip
    assert "<script>alert" not in page.read_text()
    cells = table.read_text().splitlines()[1].split("\t")
    assert any(cell.startswith("'=cmd") for cell in cells) and "'@SUM(1)" in cells
    assert not any(cell.startswith(("=", "@")) for cell in cells)


def test_groups_of_cells_for_a_spreadsheet_hold_no_formula(tmp_path):
    from tissuemake.delimited import no_formula

    given = pd.Series(["=1+1", "+1", "-1", "@x", "T cell", "a=b", ""])
    assert list(no_formula(given)) == ["'=1+1", "'+1", "'-1", "'@x", "T cell", "a=b", ""]
