import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import SimpleNamespace

# The package is found where these rules lie, also in a rule's own conda environment and on a cluster node. (`basedir` is
# the folder of the Snakefile that was called, which only includes the workflow's.)
PACKAGES = str(Path(str(workflow.current_basedir)).parent)
sys.path.insert(0, PACKAGES)
os.environ.update(PYTHONPATH=os.pathsep.join([PACKAGES, os.environ.get("PYTHONPATH", "")]))

from snakemake.exceptions import WorkflowError

from tissuemake import sources
from tissuemake.configuration import (
    BUNDLED_PAIRS,
    check_cohort,
    check_heads,
    check_history,
    check_models,
    complete_config,
    is_checkpoint,
)
from tissuemake.errors import InputError
from tissuemake.files import last_written
from tissuemake.inbox import left_out
from tissuemake.pathways.library import library_source
from tissuemake.pins import PRETRAIN, check_pinned_heads, check_pins
from tissuemake.sheets import read_references, read_samples, target_organism

try:
    config = complete_config(config)
    REFERENCES = read_references(config["references"]).rows
    check_models(config["models"], set(REFERENCES))
    SHEET = read_samples(config["samples"], set(REFERENCES))
    COHORT = [name for name, row in SHEET.rows.items() if row.pretrain]
    check_cohort(config, COHORT)
    check_heads(config["histology"])
    check_history(config["report"]["history"], own="results/report/quality.tsv")
    if workflow.is_main_process:
        check_pins(config["models"])
        check_pinned_heads(config["histology"])
except InputError as error:
    raise WorkflowError(str(error)) from None

SAMPLES = SHEET.rows
ORTHOLOGS = config["reference"]["orthologs"]
ALIASES = config["reference"]["aliases"]
SPARANK = config["models"]["sparank"]
SPAFOUNDATION = config["models"]["spafoundation"]
SAGEFM = config["models"]["sagefm"]
QUADFLOW = config["models"]["quadflow"]
PAIRS = config["perturbation"]["pairs"]
GENE_SETS = library_source(config["pathways"]["gene_sets"])
HISTOLOGY = config["histology"]
MODEL_FILES = ["model.safetensors", "config.json", "training.parquet", "README.md"]
# Their observations lie closer than a tile is wide: they have no tiles of their own, and share those of the grid.
UNPICTURED = ["visium_hd", "xenium"]
# A training goes on from its checkpoint. The Snakemake that a scheduler runs in the job starts nothing again: it would do
# so with the memory that was too little, and what runs outside submits the job again with more.
TRAINING_RETRIES = 2 if workflow.is_main_process else 0
# A model that the config names, by its weights or its reference, serves samples without a reference as well.
SELF_CONTAINED = ["sparank"] if SPARANK["weights"] != PRETRAIN or SPARANK["reference"] else []


wildcard_constraints:
    sample=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    encoder=r"[a-z0-9-]+",
    reference=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    method=r"[a-z0-9_]+",
    spots=r"(hexagonal|square)-\d+",
    key=r"[0-9a-f]{12}",
    zones="|".join(sources.SIMULATED_TISSUES),


def sample_row(wildcards):
    """The sample's row with every path where it lies on this machine."""
    return SAMPLES[wildcards.sample].located().as_dict()


def reference_row(wildcards):
    """The reference's row with every path where it lies on this machine."""
    return REFERENCES[wildcards.reference].located().as_dict()


@cache
def on_disk(path):
    """Whether a given file is there; asked once, however many jobs read it."""
    if not workflow.storage_settings.default_storage_provider:
        return exists(path)
    # A storage provider is asked in an event loop, and the DAG is built in one: another thread has none yet.
    with ThreadPoolExecutor(1) as other:
        return other.submit(lambda: exists(path)).result()


def source_files(cell):
    """List of what a job that reads a sheet's cell waits for: a receipt, or the file itself where there is one."""
    if not cell or cell.startswith("obs:"):
        return []
    waits = sources.receipt(cell) or sources.local_path(cell)
    return branch(sources.receipt(cell) or on_disk(waits), then=[waits], otherwise=[])


def sample_sources(*columns):
    """Input function: the sources behind these columns of the sample's row."""
    return lambda wildcards: [
        waits for column in columns for waits in source_files(getattr(SAMPLES[wildcards.sample], column))
    ]


@cache
def written_in(folder):
    """Which file of a vendor folder was written last; looked up once for all jobs that read it."""
    return last_written(folder)


def sample_written(wildcards):
    """What Snakemake does not see of a vendor folder, whose own time says nothing of the files in it."""
    cell = SAMPLES[wildcards.sample].path
    return "" if sources.receipt(cell) else written_in(sources.local_path(cell))


def of_reference(pattern):
    """Input function: a file of the sample's reference, or nothing for a sample without one."""

    def files(wildcards):
        name = SAMPLES[wildcards.sample].reference
        return pattern.format(reference=name) if name else []

    return files


def reference_organism(name):
    """Whose gene names the prepared reference carries: with a table of orthologs that of its samples."""
    row = REFERENCES[name]
    return target_organism(row, SAMPLES.values()) if ORTHOLOGS else row.organism


def reference_orthologs(wildcards):
    """The table of orthologs for a reference that is prepared for another organism, else nothing."""
    name = wildcards.reference
    return ORTHOLOGS if reference_organism(name) != REFERENCES[name].organism else ""


def sample_orthologs(wildcards):
    """The table of orthologs for a sample that does not state its reference's organism, else nothing."""
    row = SAMPLES[wildcards.sample]
    return ORTHOLOGS if row.reference and row.organism != REFERENCES[row.reference].organism else ""


def passed_samples():
    """Samples whose check did not fail; known once all checks are done."""
    return passed_of(checkpoints.collect_checks.get().output.summary)


def passed_cohort():
    """Samples marked `pretrain` whose check did not fail; known once their checks are done."""
    return passed_of(checkpoints.collect_cohort.get().output.summary)


def passed_of(summary):
    path = Path(summary)
    return passed_in(path, path.stat().st_mtime_ns)


@cache
def passed_in(summary, written):
    """The samples in a summary of checks, read once for each time that it was written."""
    return tuple(json.loads(summary.read_text())["passed"])


def of_cohort(pattern, column=""):
    """Input function: a file of every sample of the cohort that passed, or that has something in `column`."""
    return lambda wildcards: [
        pattern.format(sample=name, **wildcards)
        for name in passed_cohort()
        if not column or getattr(SAMPLES[name], column)
    ]
