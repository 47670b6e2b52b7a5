# What the config asks of each sample, by which methods and models, and which files these are.


def model_files(folder):
    """What a job that uses a model waits for: its config.json names the hash of the weights and is written last.

    So weights that were only copied or touched run nothing again, at any size.
    """
    return [ancient(f"{folder}/{MODEL_FILES[0]}"), f"{folder}/{MODEL_FILES[1]}"]


def deconvolution_methods(sample):
    """All methods for a sample with a reference; without one those that bring their types along."""
    methods = config["deconvolution"]["methods"]
    return methods if SAMPLES[sample].reference else [name for name in methods if name in SELF_CONTAINED]


def cell_labels(sample):
    """What gives each cell or bin one type: of assays whose observations are no mixtures."""
    if SAMPLES[sample].assay not in UNPICTURED:
        return []
    able = [*(["transfer"] if SAMPLES[sample].reference else []), *deconvolution_methods(sample)]
    return [name for name in config["annotation"]["cells"] if name in able]


def cell_type_files(wildcards):
    """The table of one type for each cell or bin, where any method gives one."""
    return [f"results/samples/{wildcards.sample}/cell_types.parquet"] if cell_labels(wildcards.sample) else []


def pseudo_spots_of(sample):
    """Lattices and shares of the panel by which pseudo-spots are made of the sample's cells, each by its name."""
    row = SAMPLES[sample]
    cells = row.assay == "xenium" or (row.assay == "visium_hd" and row.bin_um == "segmented")
    known = row.truth or cell_labels(sample)
    asked = config["evaluation"]
    return [
        f"{lattice}-{round(100 * share)}"
        for lattice in asked["pseudo_lattices"]
        for share in asked["pseudo_panels"]
        if cells and known and deconvolution_methods(sample)
    ]


def pseudo_spot_scores(wildcards):
    """Scores on the sample's pseudo-spots, where the config asks for them."""
    asked = config["evaluation"]["pseudo_spots"] and pseudo_spots_of(wildcards.sample)
    return [f"results/samples/{wildcards.sample}/pseudo_spots.parquet"] if asked else []


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
        then=model_files(folder),
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
        return model_files(folder)

    return files


def spafoundation_model():
    """Folder or hub id of the image model: made here of the cohort or of a published checkpoint, or given."""
    weights = SPAFOUNDATION["weights"]
    return "results/models/spafoundation" if weights == PRETRAIN or is_checkpoint(weights) else weights


def spafoundation_files(wildcards):
    """The files of that model that a job waits for; a model of the hub has none here."""
    folder = spafoundation_model()
    made = folder != SPAFOUNDATION["weights"]
    return branch(made or on_disk(folder), then=model_files(folder), otherwise=[])


def sagefm_model():
    """Folder or hub id of the spatial graph model: made here of the cohort, or given."""
    return "results/models/sagefm" if SAGEFM["weights"] == PRETRAIN else SAGEFM["weights"]


def sagefm_files(wildcards):
    """The files of that model that a job waits for; a model of the hub has none here."""
    folder = sagefm_model()
    return branch(
        SAGEFM["weights"] == PRETRAIN or on_disk(folder),
        then=model_files(folder),
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
        then=model_files(folder),
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
