"""A kill at any moment costs a job, not the run: the next run completes and gives the same results."""

import os
import signal
import subprocess
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from run_folder import ROOT, SNAKEMAKE, make_run_folder, share_prepared, share_tissue, snakemake
from tissuemake.models.sagefm.annotate import annotate_spots, fit_annotation
from tissuemake.models.sagefm.perturb import perturb_cohort, perturb_spots

pytestmark = pytest.mark.workflow
# Scripts that the demo's cohort has no need of, and those that no key of its config asks for: killed in another run.
UNUSED = {"simulate_tissue", "fetch_source", "import_spafoundation", "predict_highres"}
UNASKED = {"fit_annotation", "annotate_spots", "perturb_spots", "perturb_cohort"}
CELLS = {"label_cells", "make_pseudo_spots", "score_pseudo_spots"}
ASKED = """
simulation: {{spots: 200}}
deconvolution: {{methods: [nnls]}}
models: {{sagefm: {{weights: {model}}}}}
domains: {{embeddings: [sagefm], annotate: true}}
perturbation: {{pairs: config/pairs.tsv}}
"""
OF_CELLS = """
simulation: {spots: 200}
deconvolution: {methods: [nnls]}
evaluation: {pseudo_spots: true, pseudo_panels: [0.5]}
"""
PAIRS = "ligand\treceptor\nCCN1\tITGA5\nTGFB1\tITGB1\nNOT1MEASURED\tITGB1\n"

# Python runs this file first in every job: the first write of each rule dies with its file half written.
SABOTAGE = """
import contextlib, os, pathlib, signal, sys

def _arm():
    from tissuemake import files
    whole = files.atomic
    killed = pathlib.Path(os.environ["KILLED_RULES"])

    @contextlib.contextmanager
    def atomic(path):
        with whole(path) as partial:
            yield partial
            mark = killed / pathlib.Path(sys.argv[0]).name.split(".")[-2]
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)

    files.atomic = atomic

if "KILLED_RULES" in os.environ:
    try:
        _arm()
    except ImportError:
        pass
"""


def same_results(one: Path, other: Path, parts: tuple[str, ...]) -> None:
    """Assert that two runs hold the same files below `parts`, with the same content, provenance aside."""
    names = {path.relative_to(one) for part in parts for path in (one / part).rglob("*") if path.is_file()}
    found = {
        path.relative_to(other) for part in parts for path in (other / part).rglob("*") if path.is_file()
    }
    assert names == found
    for name in sorted(names):
        if name.suffix == ".parquet":
            first, second = pd.read_parquet(one / name), pd.read_parquet(other / name)
            timing = [column for column in ("seconds", "peak_memory_mb") if column in first]
            pd.testing.assert_frame_equal(first.drop(columns=timing), second.drop(columns=timing))
        elif name.suffix == ".h5ad":
            first, second = ad.read_h5ad(one / name), ad.read_h5ad(other / name)
            np.testing.assert_allclose(_dense(first), _dense(second))
            pd.testing.assert_frame_equal(first.obs, second.obs)
            pd.testing.assert_frame_equal(first.var, second.var)


def _dense(adata: ad.AnnData) -> np.ndarray:
    return adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)


UNDISTURBED = ("samples/demo-visium/annotation", "samples/demo-visium/perturbation", "perturbation")


def undisturbed(folder: Path, model: Path, output: Path) -> Path:
    """What labels and ligands are without a kill: from the same files, by the functions that the rules call."""
    results, pairs = folder / "results", folder / "config" / "pairs.tsv"
    tissue = {"demo-visium": "layered", "demo-tumor": "infiltrated"}
    files = {name: results / "samples" / name for name in tissue}
    cohort = [
        (
            path / "filtered.h5ad",
            path / "spot_embeddings" / "sagefm.h5ad",
            str(results / "simulated" / tissue[name] / "truth" / "visium_zones.tsv"),
        )
        for name, path in files.items()
    ]
    fit_annotation(cohort, output / "labels")
    annotation, perturbation = (output / name / "sagefm.parquet" for name in UNDISTURBED[:2])
    annotate_spots(*cohort[0][:2], output / "labels", annotation)
    other = output / "other.parquet"
    for name, path in (("demo-visium", perturbation), ("demo-tumor", other)):
        perturb_spots(files[name] / "filtered.h5ad", model, path, pairs=pairs)
    perturb_cohort([perturbation, other], output / "perturbation" / "sagefm.parquet")
    return output


def cohort_only(folder: Path) -> Path:
    """A run folder with the samples that the models of the demo are trained on: enough for every rule."""
    header, *rows = (ROOT / "config" / "samples.tsv").read_text().splitlines()
    trained = [row for row in rows if row.endswith("\tyes")]
    return make_run_folder(folder, samples="\n".join([header, *trained, ""]), pretrained=True)


def run_killing(folder: Path, scratch: Path, *targets: str) -> set[str]:
    """Run the workflow while the first write of every rule is killed; return the scripts that were."""
    hook, killed = scratch / "hook", scratch / "killed"
    hook.mkdir()
    killed.mkdir()
    (hook / "sitecustomize.py").write_text(SABOTAGE)
    done = snakemake(folder, "--retries", "1", *targets, PYTHONPATH=str(hook), KILLED_RULES=str(killed))
    assert done.returncode == 0, done.stderr[-4000:]
    return {path.name for path in killed.iterdir()}


def test_every_rule_survives_a_kill_in_the_middle_of_its_write(tmp_path, demo):
    folder = cohort_only(tmp_path / "run")
    share_tissue(demo, folder)
    killed = run_killing(folder, tmp_path)
    scripts = {path.stem for path in (ROOT / "workflow" / "scripts").glob("*.py")}
    assert killed >= scripts - UNUSED - UNASKED - CELLS
    parts = ("samples/demo-visium", "references", "delivery/demo-visium")
    same_results(demo / "results", folder / "results", parts)


def test_so_do_the_rules_that_only_a_key_of_ones_own_asks_for(tmp_path, demo):
    folder = cohort_only(tmp_path / "run")
    model = demo / "results" / "models" / "sagefm"
    (folder / "config" / "config.yaml").write_text(ASKED.format(model=model))
    (folder / "config" / "pairs.tsv").write_text(PAIRS)
    share_tissue(demo, folder)
    share_prepared(demo, folder, ("demo-visium", "demo-tumor"))
    annotated = "results/samples/demo-visium/annotation/sagefm.parquet"
    killed = run_killing(folder, tmp_path, annotated, "results/perturbation/sagefm.parquet")
    # Nothing else had to be made again.
    assert UNASKED <= killed <= UNASKED | {"collect_checks"}
    same_results(undisturbed(folder, model, tmp_path / "whole"), folder / "results", UNDISTURBED)


def test_so_do_those_that_only_single_cells_ask_for(tmp_path, demo):
    header, *rows = (ROOT / "config" / "samples.tsv").read_text().splitlines()
    cells = dict(
        zip(header.split("\t"), next(row for row in rows if "xenium" in row).split("\t"), strict=True)
    )
    # Without a truth the labels stand for it.
    sheet = ["\t".join(cells), "\t".join({**cells, "truth": ""}.values()), ""]
    folder = make_run_folder(tmp_path / "run", samples="\n".join(sheet))
    (folder / "config" / "config.yaml").write_text(OF_CELLS)
    share_tissue(demo, folder)
    share_prepared(demo, folder, ("demo-xenium",))
    killed = run_killing(folder, tmp_path, "pseudo_spots")
    assert CELLS <= killed <= CELLS | {"collect_checks", "deconvolve", "collect_evaluation"}
    made, known = "samples/demo-xenium/cell_types.parquet", demo / "results" / "samples" / "demo-xenium"
    labels = pd.read_parquet(folder / "results" / made)
    pd.testing.assert_frame_equal(labels, pd.read_parquet(known / "cell_types.parquet"))
    scores = pd.read_parquet(folder / "results" / "evaluation" / "pseudo_spots.parquet")
    error = scores[scores["metric"] == "rmse"].set_index("method")["value"]
    assert error["nnls"] < error.drop("nnls").min() and set(scores["panel"]) == {0.5}
    plan = snakemake(folder, "--dry-run", "results/samples/demo-xenium/report.html")
    assert plan.returncode == 0 and "results/samples/demo-xenium/pseudo_spots.parquet" in plan.stdout


def test_killed_snakemake_goes_on_where_it_was(tmp_path, demo):
    folder = cohort_only(tmp_path / "run")
    share_tissue(demo, folder)
    # Of no trained model, for which this test would wait minutes.
    target = "results/samples/demo-visium/proportions/nnls.parquet"
    command = [
        SNAKEMAKE,
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--directory",
        str(folder),
        "--cores",
        "2",
        target,
    ]
    said = tmp_path / "snakemake.log"
    with said.open("w") as output:
        running = subprocess.Popen(command, start_new_session=True, stdout=output, stderr=output)
    log = folder / "logs" / "samples" / "demo-visium" / "filtered.log"
    deadline = time.monotonic() + 120
    while not log.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert log.exists() and not (folder / target).exists(), said.read_text()[-3000:]
    assert snakemake(folder, "--unlock").returncode == 0
    done = snakemake(folder, target)
    assert done.returncode == 0, done.stderr[-4000:]
    pd.testing.assert_frame_equal(pd.read_parquet(demo / target), pd.read_parquet(folder / target))
