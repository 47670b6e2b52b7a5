"""What each profile asks SLURM for, to the letter: seen by a stub of sbatch, so that no cluster is needed."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from made_up_run import made_up_run
from run_folder import ROOT, snakemake
from slurm.stub import asked

pytestmark = pytest.mark.workflow
CONFIG = {
    "deconvolution": {"methods": ["nnls", "sparank", "tangram", "cell2location"]},
    "imputation": {"methods": ["neighbors", "sagefm"]},
    "histology": {"encoders": ["color", "spafoundation", "phikon"]},
    "models": {"quadflow": {"encoder": "resnet50"}},
    "pathways": {"gene_sets": "sets.gmt"},
    "perturbation": {"pairs": "liana"},
}
TRAINED = ("sparank-atlas", "spafoundation", "sagefm", "quadflow")
FILES = ("model.safetensors", "config.json", "training.parquet", "README.md")
READ = ("tiles.arrow", "embeddings/resnet50.h5ad", "pathways/measured.parquet")
LIBRARY = ("gene_sets/library.gmt", "models/pathways/scaling.parquet")
GIVEN = (*LIBRARY, *(f"samples/{sample}/{name}" for sample in ("first", "taught") for name in READ))
PROFILES = ("slurm", "slurm-gres")
ATLAS = ("results/references/atlas/reference.h5ad", "results/references/atlas/markers.parquet")


def run_with_gene_sets(folder: Path, made: Iterable[str], done: Iterable[str]) -> Path:
    (folder / "run").mkdir()
    (folder / "run" / "sets.gmt").write_text("A\t\tTP53\tEGFR\n")
    return made_up_run(folder, CONFIG, made, [*ATLAS, *(f"results/{name}" for name in made), *done])


def gpu(profile: str, flags: str) -> str:
    return f"{flags} --gpus=1" if profile == "slurm" else f"{flags} --gres=gpu:1"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory) -> Path:
    return run_with_gene_sets(tmp_path_factory.mktemp("untrained"), GIVEN, [])


@pytest.mark.parametrize("profile", PROFILES)
def test_a_training_asks_for_one_gpu_and_for_more_memory_when_it_comes_back(untrained, profile):
    jobs = asked(untrained, profile, *(f"results/models/{name}/{FILES[0]}" for name in TRAINED))
    flags = "-p gpu -t 60 --mem {} --cpus-per-task=1"
    expected = [gpu(profile, flags.format(megabytes)) for megabytes in (4000, 8000, 16000)]
    rules = ("pretrain_sparank atlas", "pretrain_spafoundation", "pretrain_sagefm", "pretrain_quadflow")
    assert jobs == dict.fromkeys(rules, expected)


@pytest.mark.parametrize(("profile", "given"), [("default", 0), ("workstation", 1)])
def test_a_single_machine_gives_the_gpus_that_it_has(untrained, profile, given):
    told = ["--cores", "2", "--workflow-profile", str(ROOT / "profiles" / profile)]
    told += ["--set-resources", "pretrain_sagefm:gpu=2", "--", f"results/models/sagefm/{FILES[0]}"]
    said = snakemake(untrained, "--dry-run", *told)
    (line,) = re.findall(r"\n    resources: (.*)", said.stdout + said.stderr)
    assert f"gpu={given}" in line.split(", ")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """All models are there; the sample ``taught`` is large."""
    made = (*GIVEN, *(f"models/{name}/{file}" for name in TRAINED for file in FILES))
    done = ["results/samples/first/filtered.h5ad"]
    run = run_with_gene_sets(tmp_path_factory.mktemp("trained"), made, done)
    large = run / "results/samples/taught/filtered.h5ad"
    times = large.stat()
    os.truncate(large, 300_000_000)
    os.utime(large, ns=(times.st_atime_ns, times.st_mtime_ns))
    return run


ANSWERS = {
    "deconvolve_sparank": "proportions/sparank.parquet",
    "embed_sagefm": "spot_embeddings/sagefm.h5ad",
    "impute_sagefm": "imputed/sagefm.h5ad",
    "perturb_spots": "perturbation/sagefm.parquet",
    "predict_pathways": "pathways/quadflow.parquet",
    "deconvolve_spots": "proportions/nnls.parquet",
    "deconvolve_tangram": "proportions/tangram.parquet",
    "deconvolve_cell2location": "proportions/cell2location.parquet",
    "embed_tiles phikon": "embeddings/phikon.h5ad",
    "embed_tiles color": "embeddings/color.h5ad",
    "embed_spafoundation": "embeddings/spafoundation.h5ad",
}
WITH_GPU = {"deconvolve_tangram", "deconvolve_cell2location", "embed_tiles phikon", "embed_spafoundation"}
WHERE_LARGE = {"deconvolve_sparank", "embed_sagefm", "impute_sagefm", "perturb_spots", "predict_pathways"}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_gpu_is_asked_for_where_a_network_reads_much_and_nowhere_else(trained, profile):
    targets = [
        f"results/samples/{sample}/{name}" for sample in ("first", "taught") for name in ANSWERS.values()
    ]
    jobs = asked(trained, profile, *targets, options=("--retries", "0"))
    assert len(jobs) == len(targets)
    for job, (flags,) in jobs.items():
        rule, wildcards = job.split(" ")
        sample, _, encoder = wildcards.partition("_")
        rule = f"embed_tiles {encoder}" if rule == "embed_tiles" else rule
        given = rule in WITH_GPU or (rule in WHERE_LARGE and sample == "taught")
        assert flags.startswith("-p gpu " if given else "-p cpu "), job
        assert flags.endswith(gpu(profile, "") if given else "--cpus-per-task=1"), (job, flags)
        assert ("--ntasks=1" in flags) is not given, (job, flags)
    assert jobs["deconvolve_sparank first"] == ["-p cpu -t 30 --mem 3000 --ntasks=1 --cpus-per-task=1"]


@pytest.mark.parametrize("profile", ["default", "workstation", *PROFILES])
def test_another_profile_runs_nothing_again_that_is_done(trained, profile):
    told = ("--cores", "2", "--workflow-profile", str(ROOT / "profiles" / profile))
    done = snakemake(
        trained, "--dry-run", *told, "--", *(f"results/models/{name}/{FILES[0]}" for name in TRAINED)
    )
    assert done.returncode == 0 and "Nothing to be done" in done.stdout + done.stderr


def test_the_two_profiles_of_slurm_differ_in_how_they_ask_for_gpus_alone():
    one, other = (yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text()) for name in PROFILES)
    assert other.pop("set-resources") and one == other
    one, other = ((ROOT / "profiles" / name / "partitions.yaml").read_text() for name in PROFILES)
    assert one == other


def test_cheap_steps_of_a_sample_are_one_job_of_the_cluster(trained):
    """What one of them waits for is in the other; their minutes add up, their memory does not."""
    targets = [f"results/samples/{sample}/filtered.h5ad" for sample in ("first", "taught")]
    jobs = asked(trained, "slurm", *targets, options=("--retries", "0", "--forcerun", "ingest_sample"))
    grouped = jobs["prepare_filter_spots_ingest_sample"]
    assert grouped == ["-p cpu -t 60 --mem 2000 --ntasks=1 --cpus-per-task=1"] * 2
    assert not [job for job in jobs if re.match("ingest_sample|filter_spots", job)]
