"""Software deployment and other executors take the DAG as it is; and the image that Snakemake writes."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from made_up_run import made_up_run
from run_folder import ROOT, make_run_folder, snakemake
from slurm.deployments import stand_ins
from slurm.test_rules import RULES, SUBMITTED, WITH_GPU

pytestmark = pytest.mark.workflow
CONFIG = {
    "deconvolution": {"methods": ["nnls", "sparank", "tangram", "cell2location"]},
    "imputation": {"methods": ["reference", "neighbors", "sagefm", "combined"]},
    "histology": {"encoders": ["color", "spafoundation"], "tumor_labels": ["tumour"], "highres": True},
    "domains": {"embeddings": ["sagefm"]},
    "perturbation": {"pairs": "liana"},
    "pathways": {"gene_sets": "hallmark"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    done = [f"results/samples/{sample}/filtered.h5ad" for sample in ("first", "taught")]
    done += ["results/check.json", "results/references/atlas/reference.h5ad"]
    return made_up_run(tmp_path_factory.mktemp("executors"), CONFIG, [], done)


@pytest.fixture(scope="module")
def tools(tmp_path_factory) -> dict[str, str]:
    return stand_ins(tmp_path_factory.mktemp("tools") / "bin")


def planned(run: Path, *options: str, **environment: str) -> tuple[dict[str, int], str]:
    """Number of jobs by rule, and all that the dry run says."""
    # What was made up was not made by these tools, which would be a reason to make it again.
    told = (
        "--dry-run",
        "--quiet",
        "rules",
        "--rerun-triggers",
        "mtime",
        "--workflow-profile",
        "none",
        *options,
    )
    done = snakemake(run, *told, **environment)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", said, re.MULTILINE)}, said


@pytest.fixture(scope="module")
def jobs(run) -> dict[str, int]:
    return planned(run)[0]


def test_the_dag_that_is_planned_here_is_nearly_whole(jobs):
    """What comes before the filter is made up as done; what needs labels, given weights or single cells has none."""
    assert {name for name in WITH_GPU if "pseudo_spots" not in name} <= set(jobs)
    assert len(set(SUBMITTED) & set(jobs)) > 0.6 * len(SUBMITTED)


@pytest.mark.parametrize("deployment", [("conda",), ("apptainer",), ("conda", "apptainer")])
def test_software_deployment_changes_no_job(run, jobs, tools, deployment):
    found, said = planned(run, "--sdm", *deployment, **tools)
    assert found == jobs
    assert not re.search("error|warning|deprecat", said, re.IGNORECASE)


def test_the_package_of_these_rules_is_found_without_being_installed(tmp_path):
    """As in a rule's own conda environment, and from whichever Snakefile the workflow is called."""
    run = make_run_folder(tmp_path / "run")
    said = 'print("found:", os.environ["PYTHONPATH"].split(os.pathsep)[0])'
    (run / "Snakefile").write_text(f'include: "{ROOT}/Snakefile"\n{said}\n')
    done = snakemake(run, "--dry-run", "--snakefile", str(run / "Snakefile"))
    assert f"found: {ROOT / 'workflow'}\n" in done.stdout + done.stderr


def test_lsf_takes_the_jobs_as_they_are(run, jobs):
    pytest.importorskip("snakemake_executor_plugin_lsf", reason="the plugin for LSF is not installed")
    assert planned(run, "--executor", "lsf", "--jobs", "8")[0] == jobs


def test_kubernetes_takes_the_jobs_as_they_are(run, jobs, tmp_path):
    for plugin in ("executor_plugin_kubernetes", "storage_plugin_fs"):
        if not find_spec(f"snakemake_{plugin}"):
            pytest.skip(f"snakemake_{plugin} is not installed")
    store = ("--default-storage-provider", "fs", "--default-storage-prefix", str(tmp_path))
    found, _ = planned(run, "--executor", "kubernetes", "--jobs", "8", *store, "results/check.json")
    assert found["collect_checks"] == 1


def test_snakemake_writes_an_image_of_every_environment(run, tools):
    done = snakemake(run, "--containerize", "--workflow-profile", "none", **tools)
    assert done.returncode == 0, done.stderr[-3000:]
    copied = {Path(source).name for source in re.findall(r"^COPY (\S+) ", done.stdout, re.MULTILINE)}
    named = {name for text in RULES.values() for name in re.findall(r'envs/(\w+\.yaml)"', text)}
    assert copied == named == {path.name for path in (ROOT / "envs").glob("*.yaml")}
    for name in named:
        for pin in yaml.safe_load((ROOT / "envs" / name).read_text())["dependencies"][-1]["pip"]:
            assert pin in done.stdout
