rule fetch_gene_sets:
    input:
        source=source_files(GENE_SETS),
    output:
        gene_sets="results/gene_sets/library.gmt",
    log:
        "logs/gene_sets/library.log",
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(0, 15),
    params:
        cell=config["pathways"]["gene_sets"],
        receipt=lambda wildcards: sources.receipt(GENE_SETS),
    script:
        "../scripts/fetch_gene_sets.py"


# The scale of all scores is the cohort's: a sample that is only analysed changes no score of another.
rule fit_pathway_scaling:
    input:
        filtered=of_cohort("results/samples/{sample}/filtered.h5ad"),
        gene_sets="results/gene_sets/library.gmt",
        orthologs=source_files(ORTHOLOGS),
        aliases=source_files(ALIASES),
    output:
        scaling="results/models/pathways/scaling.parquet",
    log:
        "logs/models/pathways.log",
    benchmark:
        "benchmarks/models/pathways.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(10, 2000),
        runtime=minutes(0.2, 30),
    params:
        orthologs=sources.local_path(ORTHOLOGS),
        aliases=sources.local_path(ALIASES),
    script:
        "../scripts/fit_pathway_scaling.py"


rule score_pathways:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        gene_sets="results/gene_sets/library.gmt",
        scaling=branch(COHORT, then="results/models/pathways/scaling.parquet", otherwise=[]),
        orthologs=source_files(ORTHOLOGS),
        aliases=source_files(ALIASES),
    output:
        scores="results/samples/{sample}/pathways/measured.parquet",
    log:
        "logs/samples/{sample}/pathways/measured.log",
    benchmark:
        "benchmarks/samples/{sample}/pathways/measured.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(8, 2000),
        runtime=minutes(0.2, 30),
    params:
        method=config["pathways"]["method"],
        depth=config["pathways"]["depth"],
        library=config["pathways"]["gene_sets"],
        orthologs=sources.local_path(ORTHOLOGS),
        aliases=sources.local_path(ALIASES),
    script:
        "../scripts/score_pathways.py"


rule pathway_border:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        scores="results/samples/{sample}/pathways/{table}.parquet",
        border=border_files,
    output:
        border="results/samples/{sample}/borders/{table}.parquet",
    log:
        "logs/samples/{sample}/borders/{table}.log",
    benchmark:
        "benchmarks/samples/{sample}/borders/{table}.tsv"
    wildcard_constraints:
        table="measured|quadflow",
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(8, 2000),
        runtime=minutes(0.1, 20),
    params:
        labels=lambda wildcards: SAMPLES[wildcards.sample].located().labels,
        source_path=lambda wildcards: SAMPLES[wildcards.sample].located().path,
        predicted=lambda wildcards: border_encoder(wildcards.sample),
        inside=HISTOLOGY["tumor_labels"],
        seed=config["seed"],
    script:
        "../scripts/pathway_border.py"
