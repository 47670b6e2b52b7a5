"""One cohort of every broken input: each becomes a red row that says why; the good sample finishes."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from broken_folders import BROKEN, atlas, visium
from run_folder import make_run_folder, snakemake
from tissuemake.sheets import Reference, Sample

pytestmark = pytest.mark.workflow

# Rows that never become jobs: (sample, assay), code, word in the message or the remedy.
BAD_ROWS = {
    "hostile-path": (("../x", "visium"), "bad_name", "../x"),
    "hostile-blank": (("a b", "visium"), "bad_name", "a b"),
    "hostile-html": (("<script>alert(1)</script>", "visium"), "bad_name", "<script>"),
    "twin-1": (("twin", "visium"), "duplicate_sample", "twin"),
    "twin-2": (("twin", "visium"), "duplicate_sample", "twin"),
    "unknown-assay": (("unknown-assay", "visum"), "unknown_assay", "visium"),
}


def sheet(row_type: type, rows: list[dict]) -> str:
    columns = [column.name for column in fields(row_type)]
    lines = ["\t".join(columns)] + ["\t".join(row.get(name, "") for name in columns) for row in rows]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    good = {**visium(folder / "good"), "sample": "good", "reference": "good"}
    samples, references = [good], [{**atlas(folder / "good-atlas"), "reference": "good"}]
    for name, broken in BROKEN.items():
        row = {**broken.build(folder / name), "sample": name}
        if broken.build_reference:
            reference = broken.build_reference(folder / f"{name}-reference")
            references.append({**reference, "reference": name})
            row["reference"] = name
        samples.append(row)
    samples += [{"sample": name, "assay": assay, "path": "x"} for (name, assay), *_ in BAD_ROWS.values()]
    run = make_run_folder(folder / "run", sheet(Sample, samples), sheet(Reference, references))
    done = snakemake(run)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return run


@pytest.mark.parametrize("name", BROKEN)
def test_broken_sample_says_what_where_and_what_to_do(cohort, name):
    verdict = json.loads((cohort / "results" / "samples" / name / "check.json").read_text())
    assert verdict["status"] == "fail"
    found = [finding for finding in verdict["findings"] if finding["code"] == BROKEN[name].code]
    assert found, verdict["findings"]
    assert all(word in found[0]["message"] for word in BROKEN[name].words), found[0]["message"]
    assert name in found[0]["message"] and found[0]["remedy"]


def test_good_sample_finishes(cohort):
    assert (cohort / "results" / "delivery" / "good" / "manifest.json").is_file()


def test_broken_samples_leave_a_verdict_and_nothing_else(cohort):
    for name in BROKEN:
        left = [path.name for path in (cohort / "results" / "samples" / name).rglob("*")]
        assert left == ["check.json"]
    assert not [path for path in (cohort / "results").rglob("*") if "partial" in path.name]


def test_cohort_page_shows_every_row_with_its_remedy(cohort):
    page = (cohort / "results" / "report" / "index.html").read_text()
    for name in BROKEN:
        assert name in page
    assert "<script>alert(1)" not in page and "alert(1)" in page


@pytest.mark.parametrize("name", BAD_ROWS)
def test_row_that_cannot_run_is_set_aside_by_line(cohort, name):
    (sample, _), code, word = BAD_ROWS[name]
    rejected = json.loads((cohort / "results" / "check.json").read_text())["rejected"].values()
    found = [finding for finding in rejected if finding["sample"] == sample]
    assert found and found[0]["code"] == code
    assert word in found[0]["message"] + found[0]["remedy"]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("samples.tsv", "sample\tassay\tpath\tmmp\na\tst\tx\t1\n", "Did you mean 'mpp'?"),
        ("samples.tsv", "sample\tassay\tpath\n", "has no rows"),
        ("config.yaml", "deconvolution: {methds: [nnls]}\n", "Did you mean 'deconvolution.methods'?"),
        ("config.yaml", "sampels: x\n", "Did you mean 'samples'?"),
    ],
)
def test_sheet_or_config_that_cannot_be_understood_stops_before_anything_runs(tmp_path, file, text, said):
    run = make_run_folder(tmp_path / "run")
    (run / "config" / file).write_text(text)
    done = snakemake(run)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (run / "results").exists()
