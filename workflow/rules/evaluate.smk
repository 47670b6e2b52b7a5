TASKS = ["deconvolution", "cell_types", "imputation", "domains", "tumor", "annotation", "pathways"]


rule evaluate_sample:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        proportions=lambda wildcards: collect(
            "results/samples/{{sample}}/proportions/{method}.parquet",
            method=deconvolution_methods(wildcards.sample),
        ),
        imputed=lambda wildcards: collect(
            "results/samples/{{sample}}/imputed/{method}.h5ad",
            method=imputation_methods(wildcards.sample),
        ),
        domains="results/samples/{sample}/domains.parquet",
        tumor=of_encoders(tumor_encoders, "results/samples/{{sample}}/tumor/{encoder}.parquet"),
        annotation=of_spot_models(annotations, "results/samples/{{sample}}/annotation/{model}.parquet"),
        pathways=of_pathways(pathway_tables, "results/samples/{{sample}}/pathways/{table}.parquet"),
        cell_types=cell_type_files,
        signatures=of_reference("results/references/{reference}/signatures.parquet"),
        known=sample_sources("labels", "truth"),
    output:
        evaluation="results/samples/{sample}/evaluation.parquet",
    log:
        "logs/samples/{sample}/evaluation.log",
    benchmark:
        "benchmarks/samples/{sample}/evaluation.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(8, 2000),
        runtime=minutes(0.1, 20),
    params:
        row=sample_row,
        tumor_labels=HISTOLOGY["tumor_labels"],
        ignored_labels=HISTOLOGY["ignored_labels"],
        seed=config["seed"],
    script:
        "../scripts/evaluate_sample.py"


rule collect_evaluation:
    input:
        tables=lambda wildcards: collect(
            "results/samples/{sample}/evaluation.parquet", sample=passed_samples()
        ),
    output:
        **{task: f"results/evaluation/{task}.parquet" for task in TASKS},
    log:
        "logs/evaluation.log",
    localrule: True
    conda:
        "../../envs/core.yaml"
    script:
        "../scripts/collect_evaluation.py"
