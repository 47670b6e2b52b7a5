# With given weights there is no such rule: no change of any file can start a training.
if SAGEFM["weights"] == PRETRAIN:

    rule pretrain_sagefm:
        input:
            filtered=of_cohort("results/samples/{sample}/filtered.h5ad"),
        output:
            model=expand("results/models/sagefm/{name}", name=MODEL_FILES),
        log:
            "logs/models/sagefm.log",
        benchmark:
            "benchmarks/models/sagefm.tsv"
        retries: TRAINING_RETRIES
        conda:
            "../../envs/torch.yaml"
        threads: lookup(dpath=SAGEFM["preset"], within={"tiny": 1, "small": 8, "base": 8})
        resources:
            mem_mb=megabytes(20, 4000),
            runtime=lookup(dpath=SAGEFM["preset"], within={"tiny": 60, "small": 720, "base": 2880}),
            gpu=1,
        params:
            preset=SAGEFM["preset"],
            graph=SAGEFM["graph"],
            seed=config["seed"],
            # Not an output: a retry goes on from what a killed job left here.
            checkpoints="results/checkpoints/sagefm",
        script:
            "../scripts/pretrain_sagefm.py"


rule embed_sagefm:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        model=sagefm_files,
    output:
        embeddings="results/samples/{sample}/spot_embeddings/sagefm.h5ad",
    log:
        "logs/samples/{sample}/spot_embeddings/sagefm.log",
    benchmark:
        "benchmarks/samples/{sample}/spot_embeddings/sagefm.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=megabytes(10, 3000),
        runtime=minutes(0.5, 30),
        gpu=lambda wildcards, input: int(input_mb(input) > LARGE_MB),
    params:
        model=sagefm_model(),
    script:
        "../scripts/embed_sagefm.py"


rule impute_sagefm:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        model=sagefm_files,
    output:
        imputed="results/samples/{sample}/imputed/sagefm.h5ad",
    log:
        "logs/samples/{sample}/imputed/sagefm.log",
    benchmark:
        "benchmarks/samples/{sample}/imputed/sagefm.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        # What is written is dense: 18,000 bins of 12 MB peaked at 1.4 GB.
        mem_mb=megabytes(100, 3000),
        runtime=minutes(1, 60),
        gpu=lambda wildcards, input: int(input_mb(input) > LARGE_MB),
    params:
        model=sagefm_model(),
        seed=config["seed"],
        held_out_genes=config["imputation"]["held_out_genes"],
    script:
        "../scripts/impute_sagefm.py"


rule fit_annotation:
    input:
        filtered=of_cohort("results/samples/{sample}/filtered.h5ad", "labels"),
        embeddings=of_cohort("results/samples/{sample}/spot_embeddings/sagefm.h5ad", "labels"),
        labels=lambda wildcards: [
            waits for name in passed_cohort() for waits in source_files(SAMPLES[name].labels)
        ],
    output:
        model=expand("results/models/annotation-sagefm/{name}", name=MODEL_FILES),
    log:
        "logs/models/annotation-sagefm.log",
    benchmark:
        "benchmarks/models/annotation-sagefm.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=megabytes(10, 2000),
        runtime=minutes(0.2, 60),
    params:
        rows=lambda wildcards: [
            SAMPLES[name].located().as_dict() for name in passed_cohort() if SAMPLES[name].labels
        ],
        ignored_labels=HISTOLOGY["ignored_labels"],
        seed=config["seed"],
    script:
        "../scripts/fit_annotation.py"


rule annotate_spots:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        embeddings="results/samples/{sample}/spot_embeddings/sagefm.h5ad",
        model=rules.fit_annotation.output.model,
    output:
        annotation="results/samples/{sample}/annotation/sagefm.parquet",
    log:
        "logs/samples/{sample}/annotation/sagefm.log",
    benchmark:
        "benchmarks/samples/{sample}/annotation/sagefm.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=megabytes(8, 2000),
        runtime=minutes(0.2, 20),
    script:
        "../scripts/annotate_spots.py"


rule perturb_spots:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        model=sagefm_files,
        pairs=branch(PAIRS == BUNDLED_PAIRS, then=[], otherwise=source_files(PAIRS)),
    output:
        perturbation="results/samples/{sample}/perturbation/sagefm.parquet",
    log:
        "logs/samples/{sample}/perturbation/sagefm.log",
    benchmark:
        "benchmarks/samples/{sample}/perturbation/sagefm.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=megabytes(20, 3000),
        runtime=minutes(1, 120),
        gpu=lambda wildcards, input: int(input_mb(input) > LARGE_MB),
    params:
        model=sagefm_model(),
        # Empty: those inside the package.
        pairs=branch(PAIRS == BUNDLED_PAIRS, then="", otherwise=sources.local_path(PAIRS)),
        seed=config["seed"],
    script:
        "../scripts/perturb_spots.py"


rule perturb_cohort:
    input:
        tables=lambda wildcards: collect(
            "results/samples/{sample}/perturbation/sagefm.parquet", sample=passed_samples()
        ),
    output:
        perturbation="results/perturbation/sagefm.parquet",
    log:
        "logs/perturbation/sagefm.log",
    localrule: True
    conda:
        "../../envs/torch.yaml"
    script:
        "../scripts/perturb_cohort.py"
