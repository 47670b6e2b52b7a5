import json
import os
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

# The package is found where the workflow lies, also in a rule's own conda environment and on a cluster node.
sys.path.insert(0, str(workflow.basedir))
os.environ.update(PYTHONPATH=os.pathsep.join([str(workflow.basedir), os.environ.get("PYTHONPATH", "")]))

from snakemake.exceptions import WorkflowError

from tissuemake import sources
from tissuemake.configuration import (
    BUNDLED_PAIRS,
    PRETRAIN,
    check_cohort,
    check_heads,
    check_models,
    complete_config,
    is_checkpoint,
)
from tissuemake.errors import InputError
from tissuemake.pathways.library import library_source
from tissuemake.sheets import read_references, read_samples, target_organism

try:
    config = complete_config(config)
    REFERENCES = read_references(config["references"]).rows
    check_models(config["models"], set(REFERENCES))
    SHEET = read_samples(config["samples"], set(REFERENCES))
    COHORT = [name for name, row in SHEET.rows.items() if row.pretrain]
    check_cohort(config, COHORT)
    check_heads(config["histology"])
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
    return exists(path)


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


def deconvolution_methods(sample):
    """All methods for a sample with a reference; without one those that bring their types along."""
    methods = config["deconvolution"]["methods"]
    return methods if SAMPLES[sample].reference else [name for name in methods if name in SELF_CONTAINED]


def sparank_model(wildcards):
    """Folder or hub id of the sample's model: the weights that the config names, or those made of its reference."""
    if SPARANK["weights"] != PRETRAIN:
        return SPARANK["weights"]
    reference = SPARANK["reference"] or SAMPLES[wildcards.sample].reference
    return f"results/models/sparank-{reference}"


def sparank_files(wildcards):
    """The files of that model that a job waits for; a model of the hub has none here."""
    folder = sparank_model(wildcards)
    return branch(
        SPARANK["weights"] == PRETRAIN or on_disk(folder),
        then=[f"{folder}/{name}" for name in MODEL_FILES[:2]],
        otherwise=[],
    )


def sparank_cohort(pattern):
    """Input function: a file of every sample on which the gate between counts and images of a model is taught.

    They are the marked samples that use the model and whose check did not fail; none where images are left out.
    """

    def files(wildcards):
        model = f"results/models/sparank-{wildcards.reference}"
        cohort = [name for name in COHORT if sparank_model(SimpleNamespace(sample=name)) == model]
        if not (SPARANK["images"] and cohort):
            return []
        return [pattern.format(sample=name, **SPARANK) for name in passed_cohort() if name in cohort]

    return files


def of_sparank(files):
    """Input function: `files(wildcards)` for a sample on which the pretrained method runs, else nothing."""
    return lambda wildcards: files(wildcards) if "sparank" in deconvolution_methods(wildcards.sample) else []


def sparank_attributions(wildcards):
    return [f"results/samples/{wildcards.sample}/attributions/sparank.parquet"]


def sparank_markers(wildcards):
    """Markers of the reference that the model was made of; beside given weights those of the sample's own."""
    pretrained_on = SPARANK["reference"] if SPARANK["weights"] == PRETRAIN else ""
    reference = pretrained_on or SAMPLES[wildcards.sample].reference
    return [f"results/references/{reference}/markers.parquet"] if reference else []


def combinable(sample):
    """Methods that see the sample's counts."""
    lacking = ("combined",) if SAMPLES[sample].reference else ("combined", "reference")
    return [name for name in config["imputation"]["methods"] if name not in lacking]


def imputation_methods(sample):
    """Methods that see the sample's counts, and the encoders of which genes are predicted from the image alone."""
    combined = ["combined"] if "combined" in config["imputation"]["methods"] and combinable(sample) else []
    return [*combinable(sample), *combined, *predicting_encoders(sample), *pathway_models(sample)]


def pictured_encoders(sample):
    """Encoders of the tiles around a sample's spots; bins and cells have none of their own."""
    return [] if SAMPLES[sample].assay in UNPICTURED else HISTOLOGY["encoders"]


def headed_encoders(sample):
    """Those for which there are heads: fitted on the cohort, or given."""
    return pictured_encoders(sample) if COHORT or HISTOLOGY["heads"] else []


def predicting_encoders(sample):
    """Those of which genes are predicted; a bin or cell gets what is said of the grid tile that it lies on."""
    shares_tiles = SAMPLES[sample].assay in UNPICTURED and config["tiles"]["grid"]
    headed = COHORT or HISTOLOGY["heads"]
    return HISTOLOGY["encoders"] if headed and shares_tiles else headed_encoders(sample)


def read_encoders(sample):
    """Those of which any step reads the sample's numbers."""
    return pictured_encoders(sample) or predicting_encoders(sample)


def tumor_encoders(sample):
    """Those by which tumour is looked for."""
    labelled = HISTOLOGY["heads"] or any(SAMPLES[name].labels for name in COHORT)
    return headed_encoders(sample) if HISTOLOGY["tumor_labels"] and labelled else []


def highres_encoders(sample):
    """Those by which genes are predicted between the spots: of lattices of spots with an image."""
    row = SAMPLES[sample]
    wanted = HISTOLOGY["highres"] and row.image and row.assay in ("visium", "st")
    return HISTOLOGY["encoders"] if wanted else []


def of_encoders(encoders, pattern):
    """Input function: a file for each of the sample's `encoders(sample)`."""
    return lambda wildcards: collect(pattern, encoder=encoders(wildcards.sample))


def head(kind):
    """Input function: the files of the head of that kind that reads an encoder's numbers."""

    def files(wildcards):
        folder = f"{HISTOLOGY['heads'] or 'results/models'}/{kind}-{wildcards.encoder}"
        return [f"{folder}/{name}" for name in MODEL_FILES[:2]]

    return files


def spafoundation_model():
    """Folder or hub id of the image model: made here of the cohort or of a published checkpoint, or given."""
    weights = SPAFOUNDATION["weights"]
    return "results/models/spafoundation" if weights == PRETRAIN or is_checkpoint(weights) else weights


def spafoundation_files(wildcards):
    """The files of that model that a job waits for; a model of the hub has none here."""
    folder = spafoundation_model()
    made = folder != SPAFOUNDATION["weights"]
    return branch(
        made or on_disk(folder), then=[f"{folder}/{name}" for name in MODEL_FILES[:2]], otherwise=[]
    )


def sagefm_model():
    """Folder or hub id of the spatial graph model: made here of the cohort, or given."""
    return "results/models/sagefm" if SAGEFM["weights"] == PRETRAIN else SAGEFM["weights"]


def sagefm_files(wildcards):
    """The files of that model that a job waits for; a model of the hub has none here."""
    folder = sagefm_model()
    return branch(
        SAGEFM["weights"] == PRETRAIN or on_disk(folder),
        then=[f"{folder}/{name}" for name in MODEL_FILES[:2]],
        otherwise=[],
    )


def spot_embeddings(sample):
    """Models whose numbers for every spot are asked for."""
    return config["domains"]["embeddings"]


def annotations(sample):
    """Those of them in whose numbers labels of the cohort are learnt."""
    labelled = config["domains"]["annotate"] and any(SAMPLES[name].labels for name in COHORT)
    return spot_embeddings(sample) if labelled else []


def perturbations(sample):
    """Models that are asked what a ligand does."""
    return ["sagefm"] if PAIRS else []


def of_spot_models(models, pattern):
    """Input function: a file for each of the sample's `models(sample)`."""
    return lambda wildcards: collect(pattern, model=models(wildcards.sample))


def spot_models(wildcards):
    """The files of the spatial graph model for a sample of which it says anything, else nothing."""
    sample = wildcards.sample
    used = spot_embeddings(sample) or perturbations(sample) or "sagefm" in imputation_methods(sample)
    return sagefm_files(wildcards) if used else []


def quadflow_model():
    """Folder or hub id of the pathway transformer: made here of the cohort, or given."""
    return "results/models/quadflow" if QUADFLOW["weights"] == PRETRAIN else QUADFLOW["weights"]


def quadflow_files(wildcards):
    """The files of that model that a job waits for; a model of the hub has none here."""
    folder = quadflow_model()
    return branch(
        QUADFLOW["weights"] == PRETRAIN or on_disk(folder),
        then=[f"{folder}/{name}" for name in MODEL_FILES[:2]],
        otherwise=[],
    )


def pathway_models(sample):
    """Models that read pathways, and genes through them, off the image alone."""
    taught = COHORT or QUADFLOW["weights"] != PRETRAIN
    has_tiles = SAMPLES[sample].assay not in UNPICTURED or config["tiles"]["grid"]
    return ["quadflow"] if GENE_SETS and config["pathways"]["predict"] and taught and has_tiles else []


def pathway_tables(sample):
    """Who says the pathways of its spots."""
    return ["measured", *pathway_models(sample)] if GENE_SETS else []


def border_encoder(sample):
    """The encoder by whose tumour the border is drawn, for a sample whose labels do not draw it."""
    return "" if SAMPLES[sample].labels else next(iter(tumor_encoders(sample)), "")


def borders(sample):
    """Pathways that are followed across the border of the tumour, where there is one to be known."""
    known = HISTOLOGY["tumor_labels"] and (SAMPLES[sample].labels or border_encoder(sample))
    return pathway_tables(sample) if known else []


def border_files(wildcards):
    """What draws the border: the sample's labels, or the predicted tumour."""
    sample, encoder = wildcards.sample, border_encoder(wildcards.sample)
    predicted = [f"results/samples/{sample}/tumor/{encoder}.parquet"]
    return branch(encoder, then=predicted, otherwise=source_files(SAMPLES[sample].labels))


def of_pathways(tables, pattern):
    """Input function: a file for each of the sample's `tables(sample)`."""
    return lambda wildcards: collect(pattern, table=tables(wildcards.sample))


def pathway_model_files(wildcards):
    """The files of the pathway transformer for a sample that it reads, else nothing."""
    return quadflow_files(wildcards) if pathway_models(wildcards.sample) else []


def input_mb(input):
    """Size of a job's input: `input.size_mb`, which asks each file through an event loop at ten times the cost."""
    if any(getattr(file, "is_storage", False) for file in input):
        return input.size_mb
    return sum(map(os.path.getsize, input)) / 1024**2


def megabytes(per_input_mb, floor):
    """Resource function: memory in MB grows with the input's size and doubles with each attempt.

    What was measured stands in profiles/README.md. Snakemake does not see the size of a vendor folder's content;
    there the check's finding on expected memory warns, and a retry doubles.
    """
    return lambda wildcards, input, attempt: int(
        max(floor, floor / 2 + per_input_mb * input_mb(input)) * 2 ** (attempt - 1)
    )


def minutes(per_input_mb, floor):
    """Resource function: a job's time limit grows with the input's size and doubles with each attempt.

    Trainings have limits of their own, by preset: what hits its limit there goes on from its checkpoint.
    """
    return lambda wildcards, input, attempt: int(
        (floor + per_input_mb * input_mb(input)) * 2 ** (attempt - 1)
    )
