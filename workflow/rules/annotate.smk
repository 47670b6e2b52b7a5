rule label_cells:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        reference=of_reference("results/references/{reference}/reference.h5ad"),
        proportions=lambda wildcards: collect(
            "results/samples/{{sample}}/proportions/{method}.parquet",
            method=[name for name in cell_labels(wildcards.sample) if name != "transfer"],
        ),
        aliases=source_files(ALIASES),
    output:
        cell_types="results/samples/{sample}/cell_types.parquet",
    log:
        "logs/samples/{sample}/cell_types.log",
    benchmark:
        "benchmarks/samples/{sample}/cell_types.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(10, 2000),
        runtime=minutes(0.2, 20),
    params:
        methods=lambda wildcards: cell_labels(wildcards.sample),
        sure=config["annotation"]["confidence"],
        seed=config["seed"],
        aliases=sources.local_path(ALIASES),
    script:
        "../scripts/label_cells.py"
