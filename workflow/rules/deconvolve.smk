rule deconvolve_spots:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        reference=of_reference("results/references/{reference}/reference.h5ad"),
        signatures=of_reference("results/references/{reference}/signatures.parquet"),
        markers=of_reference("results/references/{reference}/markers.parquet"),
        aliases=source_files(ALIASES),
    output:
        proportions="results/samples/{sample}/proportions/{method}.parquet",
    log:
        "logs/samples/{sample}/proportions/{method}.log",
    benchmark:
        "benchmarks/samples/{sample}/proportions/{method}.tsv"
    wildcard_constraints:
        method="nnls|nnls_rescaled",
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(10, 2000),
        runtime=minutes(0.2, 30),
    params:
        seed=config["seed"],
        aliases=sources.local_path(ALIASES),
    script:
        "../scripts/deconvolve.py"


# Peers in environments of their own. Both want a GPU and run, slowly, without one.
use rule deconvolve_spots as deconvolve_tangram with:
    wildcard_constraints:
        method="tangram",
    conda:
        "../../envs/tangram.yaml"
    resources:
        mem_mb=megabytes(40, 8000),
        runtime=minutes(1, 240),
        gpu=1,


use rule deconvolve_spots as deconvolve_cell2location with:
    wildcard_constraints:
        method="cell2location",
    conda:
        "../../envs/cell2location.yaml"
    resources:
        mem_mb=megabytes(40, 8000),
        runtime=minutes(5, 720),
        gpu=1,
