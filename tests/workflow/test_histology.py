"""What is read off the image: the image model is trained once, heads are fitted on the cohort, bins share tiles."""

from pathlib import Path

import pytest

from made_up_run import add, as_it_was, change, configure, made_up_run, plan
from run_folder import snakemake

pytestmark = pytest.mark.workflow
ENCODERS = ("color", "spafoundation")
CONFIG = {
    "deconvolution": {"methods": ["nnls"]},
    "histology": {"encoders": list(ENCODERS), "tumor_labels": ["invasive cancer"]},
}
MODEL = ("model.safetensors", "config.json", "training.parquet", "README.md")
MADE = (
    *(f"models/spafoundation/{name}" for name in MODEL),
    *(f"models/expression-{encoder}/{name}" for encoder in ENCODERS for name in MODEL),
    *(f"models/tumor-color/{name}" for name in MODEL),
    *(f"samples/{sample}/tiles.arrow" for sample in ("first", "taught")),
    *(
        f"samples/{sample}/embeddings/{encoder}.h5ad"
        for sample in ("first", "taught")
        for encoder in ENCODERS
    ),
    *(f"samples/first/imputed/{encoder}.h5ad" for encoder in ENCODERS),
)
IMPUTED = "results/samples/{}/imputed/{}.h5ad"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    done = ["results/check.json", *(IMPUTED.format("first", encoder) for encoder in ENCODERS)]
    return made_up_run(tmp_path_factory.mktemp("histology"), CONFIG, MADE, done)


@pytest.fixture
def run(cohort) -> Path:
    """The run as it was made, whatever the test does to its sheets and config."""
    with as_it_was(cohort):
        yield cohort


def test_another_sample_is_predicted_and_nothing_is_trained_or_fitted(run):
    add(run, "second", "")
    jobs = plan(run, *(IMPUTED.format("second", encoder) for encoder in ENCODERS))
    assert {"embed_spafoundation sample=second", "embed_tiles sample=second, encoder=color"} <= set(jobs)
    assert {f"predict_expression sample=second, encoder={encoder}" for encoder in ENCODERS} <= set(jobs)
    assert not [job for job in jobs if "pretrain" in job or "fit_" in job or "sample=first" in job]


def test_a_run_that_goes_on_fits_on_the_samples_it_has_checked(run):
    """Behind two checkpoints that are both done already."""
    head = run / "results" / "models" / "expression-color" / "config.json"
    said = head.read_text()
    head.unlink()
    try:
        jobs = plan(run, "results/evaluation/imputation.parquet")
    finally:
        head.write_text(said)
    assert "samples/taught/filtered.h5ad" in jobs["fit_expression encoder=color"]


def test_another_preset_trains_on_the_cohort_alone(run):
    configure(run, CONFIG, models={"spafoundation": {"preset": "small"}})
    jobs = plan(run, IMPUTED.format("first", "spafoundation"))
    assert set(jobs) == {
        "pretrain_spafoundation",
        "embed_spafoundation sample=first",
        "embed_spafoundation sample=taught",
        "fit_expression encoder=spafoundation",
        "predict_expression sample=first, encoder=spafoundation",
    }
    assert "samples/first" not in jobs["pretrain_spafoundation"]


def test_given_weights_and_heads_ask_for_no_cohort(run):
    """As a facility works that fitted both elsewhere."""
    change(run, "taught", pretrain="")
    models = {"spafoundation": {"weights": "results/models/spafoundation", "preset": "base"}}
    configure(run, CONFIG, models=models, histology={"heads": "results/models"})
    jobs = plan(run, IMPUTED.format("first", "spafoundation"), "results/samples/first/tumor/color.parquet")
    assert not [job for job in jobs if "pretrain" in job or "fit_expression" in job]
    models["spafoundation"]["weights"] = "results/models/expression-color"
    configure(run, CONFIG, models=models, histology={"heads": "results/models"})
    assert "embed_spafoundation sample=first" in plan(run, IMPUTED.format("first", "spafoundation"))


def test_a_published_checkpoint_is_converted_and_not_trained(run):
    (run / "vit.pth").write_bytes(b"made up")
    configure(run, CONFIG, models={"spafoundation": {"weights": "vit.pth"}})
    jobs = plan(run, IMPUTED.format("first", "spafoundation"))
    assert "import_spafoundation" in jobs and "pretrain_spafoundation" not in jobs


def test_tumour_is_fitted_on_labelled_samples_of_the_cohort(run):
    asked = "results/samples/first/tumor/color.parquet"
    (run / "labels.tsv").write_text("barcode\tlabel\n")
    change(run, "taught", labels="labels.tsv")
    jobs = plan(run, asked)
    assert "fit_tumor encoder=color" in jobs and "detect_tumor sample=first, encoder=color" in jobs
    assert "check_sample sample=taught" in jobs  # labels are checked
    assert not [job for job in jobs if "pretrain" in job or "fit_expression" in job]


def test_bins_are_predicted_from_a_grid_of_tiles_and_from_nothing_else(run):
    change(run, "first", assay="visium_hd", bin_um="8")
    asked = "results/samples/first/evaluation.parquet"
    jobs = plan(run, asked)
    assert {f"predict_expression sample=first, encoder={encoder}" for encoder in ENCODERS} <= set(jobs)
    assert not [job for job in jobs if "detect_tumor" in job or "fit_" in job or "pretrain" in job]
    assert "embeddings" not in jobs["cluster_domains sample=first"]
    configure(run, CONFIG, tiles={"grid": False})
    assert not [job for job in plan(run, asked) if "predict_expression" in job]


def test_without_a_sample_to_learn_from_the_image_model_is_refused_before_anything_runs(run):
    change(run, "taught", pretrain="")
    done = snakemake(run, "--dry-run")
    assert done.returncode == 1
    assert "no sample is marked 'pretrain'" in done.stdout + done.stderr
