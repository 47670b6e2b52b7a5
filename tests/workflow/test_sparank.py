"""A model is trained once: what may happen to a cohort without training it again, and what asks for it."""

import re
from pathlib import Path

import pytest
import yaml

from made_up_run import add, configure, made_up_run, plan
from run_folder import snakemake

pytestmark = pytest.mark.workflow
SPARANK = "results/samples/{}/proportions/sparank.parquet"
MODEL = ("model.safetensors", "config.json", "training.parquet", "README.md")
TILES = ("tiles.arrow", "embeddings/color.h5ad")
IMAGES = {"models": {"sparank": {"images": "color"}}}
MADE = (
    *(f"models/sparank-atlas/{name}" for name in MODEL),
    *(f"samples/first/{name}/sparank.parquet" for name in ("proportions", "attributions")),
    *(f"samples/{sample}/{name}" for sample in ("first", "taught") for name in TILES),
)
CONFIG = yaml.safe_load(Path(__file__).with_name("sparank.yaml").read_text())


def made(folder: Path, **changes: dict) -> Path:
    """A run of which one sample's model and proportions are done."""
    parts = {part: CONFIG.get(part, {}) | changes.get(part, {}) for part in {*CONFIG, *changes}}
    return made_up_run(folder, parts, MADE, [SPARANK.format("first")])


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("sparank"))


@pytest.fixture
def run(cohort) -> Path:
    """The run as it was made, whatever the test does to its sheets and config."""
    kept = {path: path.read_text() for path in (cohort / "config").iterdir()}
    yield cohort
    for path, text in kept.items():
        path.write_text(text)


def test_another_sample_is_deconvolved_and_nothing_is_trained(run):
    add(run, "second", "atlas")
    jobs = plan(run, "all", *map(SPARANK.format, ("first", "second")))
    assert "deconvolve_sparank sample=second" in jobs
    touched = [job for job in jobs if "pretrain" in job or "sample=first" in job or "reference=" in job]
    assert not touched


def test_other_methods_and_thresholds_do_not_train(run):
    configure(run, CONFIG, deconvolution={"methods": ["sparank"]}, filter={"max_counts": 90000})
    assert list(plan(run, SPARANK.format("first"))) == [
        "filter_spots sample=first",
        "deconvolve_sparank sample=first",
    ]


def test_another_preset_trains_and_the_laptops_profile_gives_it_no_gpu(run):
    """The script hands ``resources.gpu`` to the trainer, which takes 0 for the CPU and never guesses."""
    configure(run, CONFIG, models={"sparank": {"preset": "small"}})
    jobs = plan(run, SPARANK.format("first"))
    assert list(jobs) == ["pretrain_sparank reference=atlas", "deconvolve_sparank sample=first"]
    assert re.search(r"resources: .*\bgpu=0\b", jobs["pretrain_sparank reference=atlas"])


def test_given_weights_are_used_and_never_made_again(run):
    """Not even when the folder is one that this run has made, and another preset would make otherwise."""
    configure(run, CONFIG, models={"sparank": {"weights": "results/models/sparank-atlas", "preset": "base"}})
    add(run, "without", "")
    jobs = plan(run, SPARANK.format("first"), "results/samples/without/evaluation.parquet")
    assert "deconvolve_sparank sample=without" in jobs
    assert not [job for job in jobs if "pretrain" in job or "method=nnls" in job or "reference=" in job]


def test_one_model_serves_all_samples_where_the_config_names_its_reference(run):
    configure(run, CONFIG, models={"sparank": {"reference": "atlas"}})
    add(run, "without", "")
    jobs = plan(run, "results/samples/without/evaluation.parquet")
    assert "deconvolve_sparank sample=without" in jobs
    assert not [job for job in jobs if "pretrain" in job]


def test_a_model_of_no_reference_stops_before_anything_runs(run):
    configure(run, CONFIG, models={"sparank": {"reference": "atals"}})
    done = snakemake(run, "--dry-run")
    assert done.returncode == 1
    assert "Did you mean 'atlas'?" in done.stdout + done.stderr


def test_images_are_embedded_and_their_weight_is_taught_on_the_marked_samples(run):
    configure(run, CONFIG, **IMAGES)
    jobs = plan(run, SPARANK.format("first"))
    assert "samples/first/embeddings/color.h5ad" in jobs["deconvolve_sparank sample=first"]
    taught = jobs["pretrain_sparank reference=atlas"]
    assert "samples/taught/filtered.h5ad" in taught and "samples/taught/embeddings/color.h5ad" in taught
    assert "samples/first" not in taught


def test_another_sample_trains_nothing_with_images_either(tmp_path):
    run = made(tmp_path, **IMAGES)
    add(run, "second", "atlas")
    jobs = plan(run, *map(SPARANK.format, ("first", "second")))
    assert "deconvolve_sparank sample=second" in jobs and "embed_tiles sample=second, encoder=color" in jobs
    assert not [job for job in jobs if "pretrain" in job or "collect_cohort" in job or "sample=first" in job]


def test_images_without_a_sample_to_learn_from_stop_before_anything_runs(run):
    configure(run, CONFIG, **IMAGES)
    path = run / "config" / "samples.tsv"
    path.write_text(path.read_text().replace("\tyes", "\t"))
    done = snakemake(run, "--dry-run")
    assert done.returncode == 1
    assert "no sample is marked 'pretrain'" in done.stdout + done.stderr


def test_page_and_delivery_show_the_model_where_it_runs_and_ask_for_none_elsewhere(run):
    delivery = "results/delivery/first/manifest.json"
    shown = {
        "report_sample sample=first": (
            "attributions/sparank.parquet",
            "sparank-atlas/config.json",
            "atlas/markers.parquet",
        ),
        "deliver_sample sample=first": ("attributions/sparank.parquet", "sparank-atlas/model.safetensors"),
    }
    jobs = plan(run, delivery)
    assert not [f"{job}: {name}" for job, names in shown.items() for name in names if name not in jobs[job]]
    configure(run, CONFIG, deconvolution={"methods": ["nnls"]})
    jobs = plan(run, delivery)
    assert not [job for job in shown if "sparank" in jobs[job]]
