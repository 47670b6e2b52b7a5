"""Only what is new or changed runs, the plan says why, and a pinned model is that model or nothing runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from made_up_run import add, as_it_was, change, configure, finish, made_up_run
from run_folder import snakemake
from tissuemake.cli.runs import read_plan
from tissuemake.planned import NEW, UP_TO_DATE, Job

pytestmark = pytest.mark.workflow
CONFIG = {
    "deconvolution": {"methods": ["nnls", "sparank"]},
    "imputation": {"methods": ["neighbors"]},
    "histology": {"encoders": []},
    "models": {"sparank": {"weights": "model"}},
}
LAST = ["evaluate_sample", "report_sample", "deliver_sample"]
DOMAINS = ["cluster_domains", "spatial_statistics"]
COUNTS = ["deconvolve_spots nnls", "deconvolve_sparank", "impute_from_neighbors"]
WHOLE = ["check_sample", "ingest_sample", "filter_spots", "tile_slide", *COUNTS, *DOMAINS, *LAST]
COHORT = {"collect_checks", "collect_evaluation", "report_cohort"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run of two samples with all deliveries done, by a model that was given."""
    folder = tmp_path_factory.mktemp("delta")
    model = folder / "run" / "model"
    run = made_up_run(folder, {**CONFIG, "models": {}}, (), ())
    model.mkdir()
    (model / "model.safetensors").write_bytes(
        bytes(1_500_000)
    )  # too large for Snakemake to compare its content
    (model / "config.json").write_text('{"kind": "sparank"}')
    change(run, "taught", pretrain="")
    configure(run, CONFIG)
    finish(run, "all", *(f"results/delivery/{sample}/manifest.json" for sample in ("first", "taught")))
    return run


@pytest.fixture
def run(finished) -> Path:
    with as_it_was(finished):
        yield finished


def stages(run: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Of each sample that anything runs for the stages, and of every sample why."""
    _, rows, _ = read_plan(run, [])
    return (
        {name: sorted(row.stages) for name, row in rows.items() if row.stages},
        {name: row.why for name, row in rows.items() if name},
    )


def pinned(run: Path) -> dict:
    """The config with its model pinned as `tissuemake pin` prints it."""
    said = subprocess.run(
        [sys.executable, "-m", "tissuemake.cli", "pin", str(run / "model")],
        capture_output=True,
        text=True,
        check=True,
    )
    return {**CONFIG, **yaml.safe_load(said.stdout)}


def test_nothing_to_do(run):
    assert stages(run) == ({}, dict.fromkeys(("first", "taught"), UP_TO_DATE))


def test_a_new_sample_runs_alone(run):
    add(run, "second", "atlas")
    ran, why = stages(run)
    assert set(ran.pop("")) == COHORT
    assert ran == {"second": sorted(WHOLE)}
    assert why == {"first": UP_TO_DATE, "taught": UP_TO_DATE, "second": NEW}


def test_a_parameter_runs_what_depends_on_it_and_nothing_else(run):
    configure(run, CONFIG, domains={"resolution": 0.7})
    ran, why = stages(run)
    assert set(ran.pop("")) == COHORT - {"collect_checks"}
    assert ran == dict.fromkeys(("first", "taught"), sorted([*DOMAINS, *LAST]))
    assert why["first"] == "parameter changed: now 0.7 (cluster_domains)"
    configure(run, CONFIG, filter={"max_counts": 90000})
    ran, why = stages(run)
    assert ran["first"] == sorted(["filter_spots", *COUNTS, *DOMAINS, *LAST])
    assert why["first"] == "parameter changed: max_counts None → 90000 (filter_spots)"


def test_a_file_written_over_deep_in_a_vendor_folder_runs_its_samples_again(finished, run):
    """Whose own time stays as it was: both samples read that folder."""
    positions = finished.parent / "outs" / "outs" / "spatial" / "tissue_positions.csv"
    kept, before = positions.read_text(), positions.stat()
    positions.write_text(kept + "\n")
    try:
        ran, why = stages(run)
    finally:
        positions.write_text(kept)
        os.utime(positions, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert set(ran.pop("")) == COHORT
    assert ran == dict.fromkeys(("first", "taught"), sorted(WHOLE))
    assert (
        why["first"].startswith("input changed: ")
        and "spatial/tissue_positions.csv written 20" in why["first"]
    )


def test_pinning_a_model_or_touching_it_runs_nothing_again(run):
    configure(run, pinned(run))
    assert stages(run)[0] == {}
    for path in (run / "model").iterdir():
        os.utime(path)
    assert stages(run)[0] == {}


def test_a_pinned_model_that_changed_stops_before_anything_runs(run):
    config = pinned(run)
    configure(run, config)
    weights = run / "model" / "model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1] + b"1")
    try:
        done = snakemake(run)
    finally:
        weights.write_bytes(kept)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    expected = config["models"]["sparank"]["sha256"]
    assert (
        "The pinned model sparank changed: model/model.safetensors has the sha256" in said
        and expected in said
    )
    assert "Remedy: Bring the pinned file back" in said
    assert "rule " not in said


def test_a_sample_marked_for_pretraining_trains_nothing_where_the_model_is_pinned(run):
    configure(run, pinned(run))
    add(run, "second", "atlas")
    change(run, "second", pretrain="yes")
    jobs, rows, _ = read_plan(run, [])
    assert not [job for job in jobs if job.trains]
    assert rows["first"].why == rows["taught"].why == UP_TO_DATE


def test_a_training_is_told_first(run):
    add(run, "second", "atlas")
    change(run, "second", pretrain="yes")
    configure(run, CONFIG, models={"sparank": {"weights": "pretrain"}})
    said = subprocess.run(
        [sys.executable, "-m", "tissuemake.cli", "plan", str(run)], capture_output=True, text=True, check=True
    ).stdout
    assert said.splitlines()[1] == "!! TRAINS pretrain_sparank atlas: not made yet"
    assert "\nsecond: new sample\n" in said


def test_what_cannot_be_planned_says_why(run):
    configure(run, CONFIG, models={"sparank": {"weights": "nowhere"}})
    done = subprocess.run(
        [sys.executable, "-m", "tissuemake.cli", "plan", str(run)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "nowhere" in done.stderr and "remedy: " in done.stderr


def test_job_names_tell_methods_apart():
    job = Job("deconvolve_spots", {"sample": "a", "method": "nnls"}, "Missing output files: x, y")
    assert (job.stage, job.causes(), job.trains) == ("deconvolve_spots nnls", ["not made yet"], False)
