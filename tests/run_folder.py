"""Run folders for tests of whole DAGs, and Snakemake called as a user calls it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
SPOTS = 200
PRETRAINED = (
    "models: {sparank: {images: color}}",
    "histology: {encoders: [color, spafoundation], tumor_labels: [tumour]}",
    "domains: {embeddings: [sagefm]}",
    "pathways: {gene_sets: 'simulated://layered/truth/programmes.gmt'}",
    "imputation: {methods: [reference, neighbors, sagefm, combined], held_out_genes: 50}",
)
QUICK = (
    "deconvolution: {methods: [nnls_rescaled, nnls]}",
    "imputation: {held_out_genes: 50}",
    "annotation: {cells: []}",
)


def snakemake(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run the workflow in `folder`, output captured as text."""
    command = [SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder), *arguments]
    if "--cores" not in arguments:
        command += ["--cores", os.environ.get("TISSUEMAKE_TEST_CORES", "2")]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


def make_run_folder(
    folder: Path, samples: str | None = None, references: str | None = None, *, pretrained: bool = False
) -> Path:
    """A run folder with a small simulation and the demo's sheets, or those given as text.

    `pretrained` methods take minutes of training: only tests that look at them, or at every rule, run them.
    """
    (folder / "config").mkdir(parents=True)
    lines = [f"simulation: {{spots: {SPOTS}, programmes: 8}}"]
    lines += PRETRAINED if pretrained else QUICK
    (folder / "config" / "config.yaml").write_text("\n".join(lines) + "\n")
    for name, text in (("samples.tsv", samples), ("references.tsv", references)):
        if text is None:
            shutil.copyfile(ROOT / "config" / name, folder / "config" / name)
        else:
            (folder / "config" / name).write_text(text)
    return folder


def share_tissue(source: Path, folder: Path) -> None:
    """Give `folder` the simulated tissue of another run, so that it is not made again."""
    (folder / "results").mkdir(exist_ok=True)
    shutil.copytree(source / "results" / "simulated", folder / "results" / "simulated", symlinks=True)


def share_prepared(source: Path, folder: Path, samples: Iterable[str]) -> None:
    """Give `folder` what another run knows of samples before any of them is analysed, and what embeds their spots."""
    whole = source / "results"
    for name in samples:
        target = folder / "results" / "samples" / name
        target.mkdir(parents=True)
        for part in ("check.json", "ingested.h5ad", "filtered.h5ad", "quality.png"):
            shutil.copy2(whole / "samples" / name / part, target / part)
        shutil.copytree(whole / "samples" / name / "spot_embeddings", target / "spot_embeddings")
    shutil.copytree(whole / "references", folder / "results" / "references")
