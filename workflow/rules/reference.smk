rule prepare_reference:
    input:
        check="results/references/{reference}/check.json",
        source=lambda wildcards: source_files(REFERENCES[wildcards.reference].path),
        labels=lambda wildcards: source_files(REFERENCES[wildcards.reference].labels),
        orthologs=lambda wildcards: source_files(reference_orthologs(wildcards)),
    output:
        reference="results/references/{reference}/reference.h5ad",
        signatures="results/references/{reference}/signatures.parquet",
        markers="results/references/{reference}/markers.parquet",
    log:
        "logs/references/{reference}/reference.log",
    benchmark:
        "benchmarks/references/{reference}/reference.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(12, 2000),
        runtime=minutes(0.5, 60),
    params:
        row=reference_row,
        min_cells=config["reference"]["min_cells"],
        organism=lambda wildcards: reference_organism(wildcards.reference),
        orthologs=lambda wildcards: sources.local_path(reference_orthologs(wildcards)),
    script:
        "../scripts/prepare_reference.py"
