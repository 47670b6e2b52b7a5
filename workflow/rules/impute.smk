rule impute_from_reference:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        reference=of_reference("results/references/{reference}/reference.h5ad"),
        signatures=of_reference("results/references/{reference}/signatures.parquet"),
        proportions=expand(
            "results/samples/{{sample}}/proportions/{method}.parquet",
            method=(config["deconvolution"]["methods"] or ["nnls"])[0],
        ),
        aliases=source_files(ALIASES),
    output:
        imputed="results/samples/{sample}/imputed/reference.h5ad",
    log:
        "logs/samples/{sample}/imputed/reference.log",
    benchmark:
        "benchmarks/samples/{sample}/imputed/reference.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(30, 2000),
        runtime=minutes(0.5, 30),
    params:
        method="reference",
        seed=config["seed"],
        held_out_genes=config["imputation"]["held_out_genes"],
        aliases=sources.local_path(ALIASES),
    script:
        "../scripts/impute.py"


rule impute_from_neighbors:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
    output:
        imputed="results/samples/{sample}/imputed/neighbors.h5ad",
    log:
        "logs/samples/{sample}/imputed/neighbors.log",
    benchmark:
        "benchmarks/samples/{sample}/imputed/neighbors.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(40, 2000),
        runtime=minutes(0.5, 30),
    params:
        method="neighbors",
        seed=config["seed"],
        held_out_genes=config["imputation"]["held_out_genes"],
    script:
        "../scripts/impute.py"


rule combine_imputed:
    input:
        imputed=lambda wildcards: collect(
            "results/samples/{{sample}}/imputed/{method}.h5ad", method=combinable(wildcards.sample)
        ),
    output:
        imputed="results/samples/{sample}/imputed/combined.h5ad",
    log:
        "logs/samples/{sample}/imputed/combined.log",
    benchmark:
        "benchmarks/samples/{sample}/imputed/combined.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(5, 1000),
        runtime=minutes(0.2, 30),
    script:
        "../scripts/combine_imputed.py"
