"""Pathways are scored where gene sets are named, on the cohort's scale; their model is trained once, on the cohort."""

from pathlib import Path

import pytest

from made_up_run import add, as_it_was, change, configure, made_up_run, plan, trained
from models.quadflow import toy_slides
from run_folder import snakemake
from tissuemake.contracts import EMBEDDINGS, FILTERED, PATHWAYS, read_table, write_anndata
from tissuemake.evaluation.metrics import pearson
from tissuemake.pathways.library import HALLMARK_SHA256

pytestmark = pytest.mark.workflow
CONFIG = {
    "deconvolution": {"methods": ["nnls"]},
    "imputation": {"methods": ["neighbors"]},
    "pathways": {"gene_sets": "sets.gmt"},
}
MODEL = ("model.safetensors", "config.json", "training.parquet", "README.md")
LIBRARY = "gene_sets/library.gmt"
MADE = (
    *(f"models/quadflow/{name}" for name in MODEL),
    "models/pathways/scaling.parquet",
    LIBRARY,
    *(f"samples/{sample}/tiles.arrow" for sample in ("first", "taught")),
    *(f"samples/{sample}/embeddings/color.h5ad" for sample in ("first", "taught")),
    *(f"samples/{sample}/pathways/measured.parquet" for sample in ("first", "taught")),
    "samples/first/pathways/quadflow.parquet",
    "samples/first/imputed/quadflow.h5ad",
    "samples/first/attention/quadflow.parquet",
)
SCORES = "results/samples/{}/pathways/measured.parquet"
SAID = "results/samples/{}/pathways/quadflow.parquet"
EMBEDDED = "embeddings/color.h5ad"
DELIVERY = "results/delivery/first/manifest.json"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pathways")
    (folder / "run").mkdir()
    (folder / "run" / "sets.gmt").write_text("A\t\tTP53\tEGFR\n")
    return made_up_run(folder, CONFIG, MADE, [SAID.format("first")])


@pytest.fixture
def run(cohort) -> Path:
    """The run as it was made, whatever the test does to its sheets and config."""
    with as_it_was(cohort):
        yield cohort


def test_another_sample_is_scored_and_read_and_nothing_is_trained_or_scaled(run):
    add(run, "second", "")
    jobs = plan(run, SCORES.format("second"), SAID.format("second"), SAID.format("first"))
    assert {f"{rule} sample=second" for rule in ("score_pathways", "predict_pathways")} <= set(jobs)
    assert "scaling.parquet" in jobs["score_pathways sample=second"]
    assert not trained(jobs)
    assert not [job for job in jobs if "sample=first" in job]


@pytest.mark.parametrize("key", [{"flows": ["pathways_read_patches"]}, {"smoothness": 0}])
def test_another_flow_or_weight_trains_on_the_cohort_alone(run, key):
    configure(run, CONFIG, models={"quadflow": key})
    jobs = plan(run, SAID.format("first"))
    assert set(jobs) == {"pretrain_quadflow", "predict_pathways sample=first"}
    assert "samples/first" not in jobs["pretrain_quadflow"]


def test_another_way_to_score_scores_again_and_trains_again(run):
    configure(run, CONFIG, pathways={"depth": "published"})
    jobs = plan(run, SAID.format("first"), SCORES.format("first"))
    assert {"score_pathways sample=first", "score_pathways sample=taught", "pretrain_quadflow"} <= set(jobs)
    assert "fit_pathway_scaling" not in jobs


def test_hallmark_is_fetched_with_its_checksum(run):
    configure(run, CONFIG, pathways={"gene_sets": "hallmark"})
    jobs = plan(run, f"results/{LIBRARY}")
    (fetch,) = [job for name, job in jobs.items() if name.startswith("fetch_source")]
    assert "results/downloads/" in fetch and "fetch_gene_sets" in jobs
    from tissuemake.pathways.library import library_source

    assert library_source("hallmark").endswith(HALLMARK_SHA256)


def test_page_scores_and_delivery_hold_all_of_it_and_nothing_runs_without_gene_sets(run):
    jobs = plan(run, DELIVERY)
    for job in ("evaluate_sample", "report_sample", "deliver_sample"):
        assert "pathways/measured.parquet" in jobs[f"{job} sample=first"]
        assert "imputed/quadflow.h5ad" in jobs[f"{job} sample=first"]
    for job in ("report_sample", "deliver_sample"):
        for name in ("attention/quadflow.parquet", "models/quadflow/config.json"):
            assert name in jobs[f"{job} sample=first"]
    assert not [job for job in jobs if "border" in job]
    configure(run, CONFIG, pathways={"gene_sets": ""})
    jobs = plan(run, "all")
    assert not [job for job, said in jobs.items() if "pathway" in job or "quadflow" in said]
    configure(run, CONFIG, pathways={"predict": False})
    jobs = plan(run, DELIVERY)
    assert not [job for job, said in jobs.items() if "quadflow" in said]
    assert "pathways/measured.parquet" in jobs["report_sample sample=first"]


def test_the_border_is_drawn_by_labels_or_by_predicted_tumour(run):
    (run / "labels.tsv").write_text("barcode\tlabel\n")
    configure(run, CONFIG, histology={"tumor_labels": ["tumour"]})
    change(run, "taught", labels="labels.tsv")
    assert snakemake(run, "--touch", "--forceall", "results/cohort.json").returncode == 0
    jobs = plan(run, DELIVERY)
    for table in ("measured", "quadflow"):
        job = jobs[f"pathway_border sample=first, table={table}"]
        assert "first/tumor/color.parquet" in job and f"pathways/{table}.parquet" in job
        assert f"borders/{table}.parquet" in jobs["report_sample sample=first"]
    change(run, "first", labels="labels.tsv")
    assert "labels.tsv" in plan(run, DELIVERY)["pathway_border sample=first, table=measured"]


def test_given_weights_and_no_cohort_train_and_scale_nothing(run):
    change(run, "taught", pretrain="")
    weights = {"weights": "results/models/quadflow", "preset": "base"}
    configure(run, CONFIG, models={"quadflow": weights})
    jobs = plan(run, SAID.format("taught"))
    assert "predict_pathways sample=taught" in jobs and not trained(jobs)
    configure(run, CONFIG)
    jobs = plan(run, DELIVERY)
    assert "score_pathways sample=first" in jobs and not trained(jobs)
    assert not [job for job, said in jobs.items() if "quadflow" in said]


def test_scripts_lead_from_gene_sets_to_what_the_image_says(tmp_path):
    run = whole_run(tmp_path)
    target = SAID.format("first")
    done = snakemake(run, target, SCORES.format("first"), "--cores", "1")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    scores = read_table(run / SCORES.format("first"), PATHWAYS)
    said = read_table(run / target, PATHWAYS)
    assert list(scores) == list(said) == list(toy_slides.SETS)
    assert scores.attrs["tissuemake"]["scaled_by"] == ["toy"]
    assert scores.attrs["tissuemake"]["library"] == "sets.gmt"
    assert not said.attrs["tissuemake"]["pretrained_on_this_donor"]
    found = pearson(said.to_numpy(), scores.to_numpy())
    assert found[0] > 0.3, found


def whole_run(folder: Path) -> Path:
    """A run whose samples are toy slides, filtered and embedded; everything behind that is to be made."""
    (folder / "run").mkdir()
    parts = ("tiles.arrow", EMBEDDED)
    samples = [f"samples/{name}" for name in ("first", "taught")]
    done = [f"results/{sample}/{part}" for sample in samples for part in (EMBEDDED, "filtered.h5ad")]
    run = made_up_run(folder, CONFIG, [f"{sample}/{part}" for sample in samples for part in parts], done)
    (run / "sets.gmt").write_text(
        "".join(f"{name}\t\t" + "\t".join(genes) + "\n" for name, genes in toy_slides.gene_sets().items())
    )
    for seed, name in enumerate(("taught", "first")):
        filtered, tiles, _ = toy_slides.slide(seed)
        write_anndata(filtered, run / f"results/samples/{name}/filtered.h5ad", FILTERED)
        write_anndata(tiles, run / f"results/samples/{name}/{EMBEDDED}", EMBEDDINGS)
    return run
