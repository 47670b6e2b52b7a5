SCORED_SPOTS = "results/samples/{sample}/pseudo_spots"


rule make_pseudo_spots:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        truth=sample_sources("truth"),
        cell_types=lambda wildcards: [] if SAMPLES[wildcards.sample].truth else cell_type_files(wildcards),
    output:
        spots=f"{SCORED_SPOTS}/{{lattice}}-{{percent}}/filtered.h5ad",
        truth=f"{SCORED_SPOTS}/{{lattice}}-{{percent}}/truth.tsv",
    log:
        "logs/samples/{sample}/pseudo_spots/{lattice}-{percent}.log",
    wildcard_constraints:
        lattice="hexagonal|square",
        percent=r"\d+",
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(10, 2000),
        runtime=minutes(0.2, 20),
    params:
        row=sample_row,
        seed=config["seed"],
    script:
        "../scripts/make_pseudo_spots.py"


use rule deconvolve_spots as deconvolve_pseudo_spots with:
    input:
        filtered=f"{SCORED_SPOTS}/{{spots}}/filtered.h5ad",
        reference=of_reference("results/references/{reference}/reference.h5ad"),
        signatures=of_reference("results/references/{reference}/signatures.parquet"),
        markers=of_reference("results/references/{reference}/markers.parquet"),
        aliases=source_files(ALIASES),
    output:
        proportions=f"{SCORED_SPOTS}/{{spots}}/{{method}}.parquet",
    log:
        "logs/samples/{sample}/pseudo_spots/{spots}/{method}.log",
    benchmark:
        "benchmarks/samples/{sample}/pseudo_spots/{spots}/{method}.tsv"


use rule deconvolve_tangram as deconvolve_pseudo_spots_tangram with:
    input:
        **rules.deconvolve_pseudo_spots.input,
    output:
        proportions=f"{SCORED_SPOTS}/{{spots}}/{{method}}.parquet",
    log:
        "logs/samples/{sample}/pseudo_spots/{spots}/{method}.log",
    benchmark:
        "benchmarks/samples/{sample}/pseudo_spots/{spots}/{method}.tsv"


use rule deconvolve_cell2location as deconvolve_pseudo_spots_cell2location with:
    input:
        **rules.deconvolve_pseudo_spots.input,
    output:
        proportions=f"{SCORED_SPOTS}/{{spots}}/{{method}}.parquet",
    log:
        "logs/samples/{sample}/pseudo_spots/{spots}/{method}.log",
    benchmark:
        "benchmarks/samples/{sample}/pseudo_spots/{spots}/{method}.tsv"


use rule deconvolve_sparank as deconvolve_pseudo_spots_sparank with:
    input:
        filtered=f"{SCORED_SPOTS}/{{spots}}/filtered.h5ad",
        model=sparank_files,
        embeddings=[],
        orthologs=source_files(ORTHOLOGS),
        aliases=source_files(ALIASES),
    output:
        proportions=f"{SCORED_SPOTS}/{{spots}}/sparank.parquet",
        attributions=temp(f"{SCORED_SPOTS}/{{spots}}/sparank_attributions.parquet"),
    log:
        "logs/samples/{sample}/pseudo_spots/{spots}/sparank.log",
    benchmark:
        "benchmarks/samples/{sample}/pseudo_spots/{spots}/sparank.tsv"


rule score_pseudo_spots:
    input:
        proportions=lambda wildcards: collect(
            f"{SCORED_SPOTS}/{{spots}}/{{method}}.parquet",
            sample=wildcards.sample,
            spots=pseudo_spots_of(wildcards.sample),
            method=deconvolution_methods(wildcards.sample),
        ),
        truths=lambda wildcards: collect(
            f"{SCORED_SPOTS}/{{spots}}/truth.tsv",
            sample=wildcards.sample,
            spots=pseudo_spots_of(wildcards.sample),
        ),
        reference=of_reference("results/references/{reference}/reference.h5ad"),
    output:
        scores="results/samples/{sample}/pseudo_spots.parquet",
    log:
        "logs/samples/{sample}/pseudo_spots.log",
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(4, 2000),
        runtime=minutes(0.1, 20),
    params:
        row=sample_row,
        seed=config["seed"],
    script:
        "../scripts/score_pseudo_spots.py"


rule collect_pseudo_spots:
    input:
        tables=lambda wildcards: collect(
            "results/samples/{sample}/pseudo_spots.parquet",
            sample=[name for name in passed_samples() if pseudo_spots_of(name)],
        ),
    output:
        pseudo_spots="results/evaluation/pseudo_spots.parquet",
    log:
        "logs/evaluation_pseudo_spots.log",
    localrule: True
    conda:
        "../../envs/core.yaml"
    script:
        "../scripts/collect_evaluation.py"


# All methods on spots made of the cells of every sample of cells: which to trust on this tissue.
rule pseudo_spots:
    input:
        "results/evaluation/pseudo_spots.parquet",
    localrule: True
