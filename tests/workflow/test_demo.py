"""The demo as a user runs it: every promised file is there, good, and not made twice."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import anndata as ad
import pandas as pd
import pytest

from run_folder import ROOT, snakemake
from tissuemake import contracts
from tissuemake.reporting.quality_table import read_history

pytestmark = pytest.mark.workflow
SAMPLES = ("demo-visium", "demo-tumor", "demo-visium-hd", "demo-xenium")
PICTURED = ("demo-visium", "demo-tumor")
SHARE_TILES = ("demo-visium-hd", "demo-xenium")
ENCODERS = ("color", "spafoundation")


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_file_keeps_its_contract(demo, sample):
    folder = demo / "results" / "samples" / sample
    assert json.loads((folder / "check.json").read_text())["status"] in ("pass", "warn")
    contracts.read_anndata(folder / "ingested.h5ad", contracts.INGESTED)
    filtered = contracts.read_anndata(folder / "filtered.h5ad", contracts.FILTERED)
    for method in ("nnls", "nnls_rescaled", "sparank"):
        shares = contracts.read_table(folder / f"proportions/{method}.parquet", contracts.PROPORTIONS)
        assert list(shares.index) == list(filtered.obs_names)
        assert shares.attrs["tissuemake"]["seconds"] > 0
    for method in ("reference", "neighbors"):
        imputed = contracts.read_anndata(folder / f"imputed/{method}.h5ad", contracts.IMPUTED)
        assert imputed.var["held_out_r"].notna().sum() >= 10
    domains = contracts.read_table(folder / "domains.parquet", contracts.DOMAINS)
    assert domains["spatial"].nunique() > 1 and domains["sagefm"].notna().all()
    spatial = contracts.read_anndata(folder / "imputed/sagefm.h5ad", contracts.IMPUTED)
    # Both donors of the demo teach the model: what it says of them is no held-out score.
    assert spatial.uns["tissuemake"]["pretrained_on_this_donor"] and spatial.var["held_out_r"].isna().all()
    assert (spatial.X.std(axis=0) > 0).mean() > 0.9
    combined = contracts.read_anndata(folder / "imputed/combined.h5ad", contracts.IMPUTED)
    assert set(combined.var["method"]) <= {"reference", "neighbors", "sagefm"}
    pathways = contracts.read_table(folder / "pathways/measured.parquet", contracts.PATHWAYS)
    assert list(pathways.index) == list(filtered.obs_names)
    for name, contract in (
        ("moran", contracts.MORAN),
        ("neighborhood_enrichment", contracts.NEIGHBORHOOD),
        ("ligand_receptor", contracts.LIGAND_RECEPTOR),
    ):
        assert len(contracts.read_table(folder / f"statistics/{name}.parquet", contract))
    assert len(contracts.read_table(folder / "tiles.arrow", contracts.TILES))
    assert "http" not in _remote_references((folder / "report.html").read_text())


def test_domains_are_found_in_what_the_spatial_model_says(demo):
    folders = [demo / "results" / "samples" / sample for sample in SAMPLES]
    tables = [contracts.read_table(folder / "domains.parquet", contracts.DOMAINS) for folder in folders]
    assert max(table["sagefm"].nunique() for table in tables) > 1


@pytest.mark.parametrize("sample", PICTURED)
def test_genes_and_tumour_are_predicted_from_the_image(demo, sample):
    folder = demo / "results" / "samples" / sample
    filtered = contracts.read_anndata(folder / "filtered.h5ad", contracts.FILTERED)
    for encoder in ENCODERS:
        embedded = contracts.read_anndata(folder / f"embeddings/{encoder}.h5ad", contracts.EMBEDDINGS)
        assert set(filtered.obs_names) <= set(embedded.obs_names)
        imputed = contracts.read_anndata(folder / f"imputed/{encoder}.h5ad", contracts.IMPUTED)
        assert imputed.var["held_out_r"].median() > 0.05
        tumor = contracts.read_table(folder / f"tumor/{encoder}.parquet", contracts.TUMOR)
        assert tumor["probability"].between(0, 1).all()
    said = contracts.read_table(folder / "pathways/quadflow.parquet", contracts.PATHWAYS)
    planted = pd.read_csv(_truth(demo, sample) / "visium_programmes.tsv", sep="\t", index_col=0)
    r = said.corrwith(planted.loc[said.index, said.columns])
    assert r.drop("PLANTED_4_HIDDEN", errors="ignore").median() > 0.3


@pytest.mark.parametrize("sample", SHARE_TILES)
def test_genes_of_bins_and_cells_are_predicted_from_the_tile_they_lie_on(demo, sample):
    folder = demo / "results" / "samples" / sample
    for encoder in ENCODERS:
        imputed = contracts.read_anndata(folder / f"imputed/{encoder}.h5ad", contracts.IMPUTED)
        assert imputed.var["held_out_r"].nlargest(20).mean() > 0.05
        assert imputed.uns["tissuemake"]["head"] == "without donor-0"
    assert not (folder / "tumor").exists()


def _truth(demo: Path, sample: str) -> Path:
    zones = "infiltrated" if sample == "demo-tumor" else "layered"
    return demo / "results" / "simulated" / zones / "truth"


def _remote_references(page: str) -> str:
    return " ".join(part[:60] for part in page.split('src="')[1:]) + " ".join(
        part[:60] for part in page.split('rel="stylesheet" href="')[1:]
    )


@pytest.mark.parametrize("sample", SHARE_TILES)
def test_bins_and_cells_get_a_type_each(demo, sample):
    scores = pd.read_parquet(demo / "results" / "evaluation" / "cell_types.parquet")
    own = scores[scores["sample"] == sample].set_index(["method", "metric"])["value"]
    # Of the bins of 8 µm that are mostly one type some hold more of a second one than of the first's molecules.
    assert own["transfer", "accuracy_labelled"] > 0.9 > 0.5 > own["majority", "accuracy"]
    obs = ad.read_h5ad(demo / "results" / "delivery" / sample / f"{sample}.h5ad", backed="r").obs
    assert {"CL:0000057", "CL:0000236"} <= set(obs["cell_ontology_id"])


def test_methods_beat_the_trivial_baselines_on_the_known_truth(demo):
    scores = pd.read_parquet(demo / "results" / "evaluation" / "deconvolution.parquet")
    rmse = scores.query("metric == 'rmse'").pivot_table(index="sample", columns="method", values="value")
    for method in ("nnls", "nnls_rescaled", "sparank"):
        assert (rmse[method] < rmse["uniform"]).all() and (rmse[method] < rmse["mean_composition"]).all()


@pytest.mark.parametrize("sample", SAMPLES)
def test_delivery_is_complete_and_its_manifest_true(demo, sample):
    folder = demo / "results" / "delivery" / sample
    manifest = json.loads((folder / "manifest.json").read_text())
    digests = {Path(entry["path"]).name: entry["sha256"] for entry in manifest["outputs"]}
    assert set(digests) == {path.name for path in folder.iterdir()} - {"manifest.json"}
    for name, digest in digests.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert manifest["inputs"] and manifest["versions"]["tissuemake"]
    delivered = ad.read_h5ad(folder / f"{sample}.h5ad")
    assert sample in delivered.uns["spatial"] and "proportions_nnls" in delivered.obsm


def test_second_run_does_nothing(demo):
    again = snakemake(demo, "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_new_sample_leaves_the_others_untouched(demo, tmp_path):
    sheet = demo / "config" / "samples.tsv"
    before = sheet.read_text()
    row = before.splitlines()[1].replace("demo-visium", "newcomer")
    try:
        sheet.write_text(before + row + "\n")
        plan = snakemake(demo, "--dry-run")
    finally:
        sheet.write_text(before)
    text = plan.stdout + plan.stderr
    assert "newcomer" in text
    assert "rule simulate_tissue" not in text and "rule prepare_reference" not in text
    assert "rule ingest_sample" not in text  # known only after the newcomer's check


def test_snakemakes_own_report(demo):
    page = demo / "snakemake-report.zip"
    done = snakemake(demo, "--report", str(page))
    assert done.returncode == 0, done.stderr[-2000:]
    assert page.stat().st_size > 100_000


def test_cohort_page_links_every_sample(demo):
    page = (demo / "results" / "report" / "index.html").read_text()
    for sample in SAMPLES:
        assert f"../samples/{sample}/report.html" in page
        assert f'class="steps" data-sample="{sample}"' in page  # what its jobs cost
    quality = read_history([demo / "results" / "report" / "quality.tsv"])
    assert list(quality["sample"]) == list(SAMPLES) and quality["median_counts"].notna().all()
    assert len(list((demo / "results" / "report" / "multiqc").glob("*_mqc.json"))) == 3


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["snakefmt", "--check", "Snakefile", "workflow"],
        ["snakemake", "--lint"],
    ],
    ids=" ".join,
)
def test_style(command):
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
