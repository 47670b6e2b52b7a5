"""Samples of two organisms and one human atlas, through the rules: who is served, who is told what to do."""

import json
from dataclasses import fields
from pathlib import Path

import anndata as ad
import pandas as pd
import pytest

from run_folder import make_run_folder, snakemake
from tissuemake import sources
from tissuemake.files import write_json
from tissuemake.sheets import Reference, Sample
from whole_folders import GENES, atlas, genes, visium

pytestmark = pytest.mark.workflow
WITHOUT_ORTHOLOG = 10
URL = "https://example.org/atlas.h5ad"
TARGETS = (
    "results/check.json",
    "results/references/for-mouse/reference.h5ad",
    "results/references/for-both/reference.h5ad",
    "results/references/far/check.json",
)


def sheet(row_type: type, rows: list[dict]) -> str:
    return pd.DataFrame(rows, columns=[column.name for column in fields(row_type)]).to_csv(
        sep="\t", index=False
    )


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("species")
    mouse, human = visium(folder / "mouse", "mouse"), visium(folder / "human", "human")
    samples = [
        {**mouse, "sample": "mouse", "reference": "for-mouse"},
        {**mouse, "sample": "mouse-beside-human", "reference": "for-both"},
        {**human, "sample": "human", "reference": "for-both"},
    ]
    cells = atlas(folder / "atlas")
    references = [{**cells, "reference": name} for name in ("for-mouse", "for-both")]
    references.append({**cells, "reference": "far", "path": URL})
    run = make_run_folder(folder / "run", sheet(Sample, samples), sheet(Reference, references))
    with (run / "config" / "config.yaml").open("a") as config:
        config.write("reference: {orthologs: $TABLES/orthologs.csv}\n")
    pairs = pd.DataFrame({"mouse": genes("mouse")["name"], "human": genes("human")["name"]})
    pairs.iloc[WITHOUT_ORTHOLOG:].to_csv(folder / "orthologs.csv", index=False)
    # What a failed download leaves; nothing is fetched again while it is there.
    receipt = {"status": "failed", "message": f"{URL} answered 404.", "remedy": "Correct the URL."}
    (run / "results" / "downloads").mkdir(parents=True)
    write_json(receipt, run / sources.receipt(URL))
    done = snakemake(run, *TARGETS, TABLES=str(folder))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return run


def verdict(cohort: Path, path: str) -> dict:
    return json.loads((cohort / "results" / path / "check.json").read_text())


def test_a_reference_of_mouse_samples_only_has_mouse_genes(cohort):
    found = verdict(cohort, "samples/mouse")
    assert (found["status"], found["facts"]["gene_overlap"]) == ("pass", GENES - WITHOUT_ORTHOLOG)
    prepared = ad.read_h5ad(cohort / "results/references/for-mouse/reference.h5ad")
    assert set(prepared.var_names) == set(genes("mouse")["name"][WITHOUT_ORTHOLOG:])


def test_a_reference_of_both_keeps_its_own_genes_and_the_other_sample_is_told(cohort):
    assert verdict(cohort, "samples/human")["status"] == "pass"
    (finding,) = verdict(cohort, "samples/mouse-beside-human")["findings"]
    assert finding["code"] == "organism_mismatch" and "second row" in finding["remedy"]
    prepared = ad.read_h5ad(cohort / "results/references/for-both/reference.h5ad")
    assert set(prepared.var_names) == set(genes("human")["name"])


def test_a_reference_whose_download_failed_says_so(cohort):
    (finding,) = verdict(cohort, "references/far")["findings"]
    assert finding["code"] == "not_fetched" and "answered 404" in finding["message"]
