"""The demo, cut small, through sbatch: GPUs for trainings alone, the local results, a broken sample, one added."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from broken_folders import BROKEN
from run_folder import ROOT, make_run_folder, share_tissue, snakemake
from slurm.cluster import HOOK, finish, jobs, rule
from workflow.test_kill import same_results

pytestmark = pytest.mark.workflow
CONFIG = """
simulation: {spots: 200}
deconvolution: {methods: [sparank]}
imputation: {methods: [sagefm], held_out_genes: 20}
histology: {encoders: []}
"""
GOOD = ("demo-visium", "demo-tumor")
TRAINED = {"pretrain_sparank": "sparank-simulated-atlas", "pretrain_sagefm": "sagefm"}
# What networks say of a sample.
COMPARED = {"proportions": "sparank.parquet", "imputed": "sagefm.h5ad"}
# As the profile names them: a group, then its rules.
GROUPS = (
    "prepare_filter_spots_ingest_sample",
    "regions_cluster_domains_spatial_statistics",
    "conclude_deliver_sample_evaluate_sample_report_sample",
)
MADE = ("models", "references", "samples", "delivery")
# Jobs that no sample has to itself.
COLLECTING = {"collect_checks", "collect_evaluation", "report_cohort", "everything"}
# A job, or one of a group, as Snakemake announces it.
JOB = re.compile(
    r"^ *(?:local)?(?:rule|checkpoint) (\w+):\n(?:.*\S.*\n)*? *(?:wildcards: sample=([^\s,]+)|resources: )",
    re.MULTILINE,
)


def run_of(folder: Path, rows: pd.DataFrame) -> Path:
    run = make_run_folder(folder, rows.to_csv(sep="\t", index=False))
    (run / "config" / "config.yaml").write_text(CONFIG)
    return run


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> pd.DataFrame:
    """Sheet of the demo's two samples of spots, of a broken one, and of one that comes later."""
    demo = pd.read_csv(ROOT / "config" / "samples.tsv", sep="\t", dtype=str, keep_default_na=False)
    good = demo.set_index("sample").loc[list(GOOD)].reset_index()
    broken = BROKEN["truncated_h5"].build(tmp_path_factory.mktemp("data") / "broken")
    later = good.iloc[[0]].assign(sample="later", pretrain="")
    return pd.concat([good, pd.DataFrame([{**broken, "sample": "broken"}]), later]).fillna("")


@pytest.fixture(scope="module")
def alone(rows, tmp_path_factory) -> Path:
    """The good samples on this machine, without SLURM."""
    run = run_of(tmp_path_factory.mktemp("alone") / "run", rows.iloc[:2])
    targets = [
        f"results/samples/{sample}/{part}/{name}" for sample in GOOD for part, name in COMPARED.items()
    ]
    done = snakemake(run, *targets, PYTHONPATH=str(HOOK), REHEARSAL="1")
    assert done.returncode == 0, done.stderr[-4000:]
    return run


@pytest.fixture(scope="module")
def cohort(slurm, alone, rows, tmp_path_factory) -> Path:
    """Three samples, one of them broken, after their run through sbatch, which ended well."""
    run = run_of(tmp_path_factory.mktemp("cohort") / "run", rows.iloc[:3])
    share_tissue(alone, run)
    finish(slurm.start(run), run)
    return run


def test_trainings_get_a_gpu_and_nothing_else_does(cohort):
    submitted = jobs(cohort)
    assert {job["JobState"] for job in submitted} == {"COMPLETED"}
    asked = {rule(job) for job in submitted if "gres:gpu" in job.get("TresPerJob", "")}
    on_gpu = {rule(job) for job in submitted if job["Partition"] == "gpu"}
    assert asked == on_gpu == set(TRAINED)


def test_steps_of_a_sample_that_follow_each_other_are_one_job(cohort):
    names = [rule(job) for job in jobs(cohort)]
    for group in GROUPS:
        assert names.count(group) == len(GOOD), names
    assert not {"ingest_sample", "filter_spots", "report_sample", "deliver_sample"} & set(names)


def test_results_are_those_of_the_local_run(cohort, alone):
    parts = tuple(f"samples/{sample}/{part}" for sample in GOOD for part in COMPARED)
    same_results(cohort / "results", alone / "results", parts)
    for name in TRAINED.values():
        path = Path("results/models") / name / "model.safetensors"
        there, here = load_file(cohort / path), load_file(alone / path)
        assert there.keys() == here.keys()
        for weight, value in here.items():
            np.testing.assert_array_equal(there[weight], value, err_msg=f"{name} {weight}")


def test_a_broken_sample_is_a_red_row_beside_two_deliveries(cohort):
    assert {path.name for path in (cohort / "results/delivery").iterdir()} == set(GOOD)
    summary = json.loads((cohort / "results/check.json").read_text())
    assert set(summary["passed"]) == set(GOOD)
    page = (cohort / "results/report/index.html").read_text()
    assert "broken" in page and BROKEN["truncated_h5"].words[0] in page


def written(run: Path) -> dict[Path, int]:
    """When each file of models, references, samples and deliveries was written."""
    files = [path for part in MADE for path in (run / "results" / part).rglob("*")]
    return {path: path.stat().st_mtime_ns for path in files if path.is_file()}


def test_a_sample_added_later_runs_its_own_jobs(cohort, slurm, rows):
    before, submitted, said = written(cohort), len(jobs(cohort)), len((cohort / "said.log").read_text())
    (cohort / "config/samples.tsv").write_text(rows.to_csv(sep="\t", index=False))
    ran = JOB.findall(finish(slurm.start(cohort), cohort)[said:])
    assert before.items() <= written(cohort).items()
    assert (cohort / "results/delivery/later/manifest.json").exists()
    assert {name for name, sample in ran if sample != "later"} == COLLECTING
    assert not [job for job in jobs(cohort)[submitted:] if job["Partition"] == "gpu"]
