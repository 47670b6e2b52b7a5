"""The spatial graph model is trained once, on the cohort, and runs only where something asks for it."""

from pathlib import Path

import pytest

from made_up_run import add, as_it_was, change, configure, made_up_run, plan, trained
from run_folder import snakemake

pytestmark = pytest.mark.workflow
CONFIG = {
    "deconvolution": {"methods": ["nnls"]},
    "imputation": {"methods": ["neighbors", "sagefm"]},
    "domains": {"embeddings": ["sagefm"], "annotate": True},
    "perturbation": {"pairs": "liana"},
}
SILENT = {
    "imputation": {"methods": ["neighbors"]},
    "domains": {"embeddings": []},
    "perturbation": {"pairs": ""},
}
MODEL = ("model.safetensors", "config.json", "training.parquet", "README.md")
MADE = tuple(f"models/sagefm/{name}" for name in MODEL)
IMPUTED = "results/samples/{}/imputed/sagefm.h5ad"
OURS = (
    IMPUTED,
    "results/samples/{}/spot_embeddings/sagefm.h5ad",
    "results/samples/{}/perturbation/sagefm.parquet",
)
DELIVERY = "results/delivery/first/manifest.json"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    made = (*MADE, "samples/first/imputed/sagefm.h5ad")
    return made_up_run(tmp_path_factory.mktemp("cohort"), CONFIG, made, [IMPUTED.format("first")])


@pytest.fixture
def run(cohort) -> Path:
    """The run as it was made, whatever the test does to its sheets and config."""
    with as_it_was(cohort):
        yield cohort


def test_another_sample_is_served_and_nothing_is_trained(run):
    add(run, "second", "")
    jobs = plan(run, *(path.format("second") for path in OURS), IMPUTED.format("first"))
    assert {f"{rule} sample=second" for rule in ("impute_sagefm", "embed_sagefm", "perturb_spots")} <= set(
        jobs
    )
    assert not trained(jobs)
    assert not [job for job in jobs if "sample=first" in job]


@pytest.mark.parametrize("key", [{"preset": "small"}, {"graph": "clique"}])
def test_another_preset_or_graph_trains_on_the_cohort_alone(run, key):
    configure(run, CONFIG, models={"sagefm": key})
    jobs = plan(run, IMPUTED.format("first"))
    assert set(jobs) == {"pretrain_sagefm", "impute_sagefm sample=first"}
    assert "samples/first" not in jobs["pretrain_sagefm"]


def test_given_weights_ask_for_no_cohort_and_train_nothing(run):
    change(run, "taught", pretrain="")
    weights = {"weights": "results/models/sagefm", "preset": "base"}
    configure(run, CONFIG, models={"sagefm": weights})
    jobs = plan(run, *(path.format("first") for path in OURS), "results/samples/first/evaluation.parquet")
    assert "embed_sagefm sample=first" in jobs and not trained(jobs)
    assert not [job for job in jobs if "annotat" in job]


def test_domains_are_found_in_the_embedding_and_page_and_delivery_show_all_of_it(run):
    jobs = plan(run, DELIVERY)
    assert "spot_embeddings/sagefm.h5ad" in jobs["cluster_domains sample=first"]
    shown = (
        "imputed/sagefm.h5ad",
        "spot_embeddings/sagefm.h5ad",
        "perturbation/sagefm.parquet",
        "sagefm/config.json",
    )
    for job in ("report_sample sample=first", "deliver_sample sample=first"):
        assert not [name for name in shown if name not in jobs[job]]
    jobs = plan(run, "results/report/index.html")
    assert "perturbation/sagefm.parquet" in jobs["report_cohort"]
    assert "perturb_cohort" in jobs
    configure(run, CONFIG, **SILENT)
    jobs = plan(run, "all")
    assert not [job for job, said in jobs.items() if "sagefm" in said]


def test_labels_are_learnt_from_labelled_samples_of_the_cohort(run):
    (run / "labels.tsv").write_text("barcode\tlabel\n")
    change(run, "first", labels="labels.tsv")
    assert not [job for job in plan(run, DELIVERY) if "annotat" in job]
    change(run, "taught", labels="labels.tsv")
    # Of which samples it is fitted is known once the new labels are checked.
    assert snakemake(run, "--touch", "--forceall", "results/cohort.json").returncode == 0
    jobs = plan(run, DELIVERY)
    taught = jobs["fit_annotation"]
    assert "samples/taught/spot_embeddings/sagefm.h5ad" in taught and "labels.tsv" in taught
    assert "samples/first" not in taught
    assert "annotate_spots sample=first" in jobs
    for job in ("evaluate_sample", "report_sample", "deliver_sample"):
        assert "first/annotation/sagefm.parquet" in jobs[f"{job} sample=first"]
    configure(run, CONFIG, domains={"annotate": False})
    assert not [job for job in plan(run, DELIVERY) if "annotat" in job]


def test_a_table_of_pairs_is_waited_for(run):
    (run / "pairs.tsv").write_text("ligand\treceptor\n")
    configure(run, CONFIG, perturbation={"pairs": "pairs.tsv"})
    assert "pairs.tsv" in plan(run, OURS[2].format("first"))["perturb_spots sample=first"]


def test_without_a_sample_to_learn_from_it_is_refused_before_anything_runs_unless_nothing_asks_for_it(run):
    change(run, "taught", pretrain="")
    done = snakemake(run, "--dry-run", DELIVERY)
    assert done.returncode == 1
    assert "imputation.methods holds 'sagefm'" in done.stdout + done.stderr
    assert "no sample is marked 'pretrain'" in done.stdout + done.stderr
    configure(run, CONFIG, **SILENT)
    assert plan(run, DELIVERY)
