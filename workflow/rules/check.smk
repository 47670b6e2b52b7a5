rule check_reference:
    input:
        source=lambda wildcards: source_files(REFERENCES[wildcards.reference].path),
        labels=lambda wildcards: source_files(REFERENCES[wildcards.reference].labels),
    output:
        check="results/references/{reference}/check.json",
    log:
        "logs/references/{reference}/check.log",
    benchmark:
        "benchmarks/references/{reference}/check.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(3, 1000),
        runtime=minutes(0.1, 15),
    params:
        row=reference_row,
        min_cells=config["reference"]["min_cells"],
    script:
        "../scripts/check_reference.py"


rule check_sample:
    input:
        sources=sample_sources("path", "spots", "image", "alignment", "labels", "truth"),
        reference_check=of_reference("results/references/{reference}/check.json"),
        orthologs=lambda wildcards: source_files(sample_orthologs(wildcards)),
        aliases=source_files(ALIASES),
    output:
        check="results/samples/{sample}/check.json",
    log:
        "logs/samples/{sample}/check.log",
    benchmark:
        "benchmarks/samples/{sample}/check.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(3, 1000),
        runtime=minutes(0.1, 15),
    params:
        row=sample_row,
        written=sample_written,
        reference=lambda wildcards: (
            REFERENCES[SAMPLES[wildcards.sample].reference].located().as_dict()
            if SAMPLES[wildcards.sample].reference
            else None
        ),
        organism=lambda wildcards: (
            reference_organism(SAMPLES[wildcards.sample].reference)
            if SAMPLES[wildcards.sample].reference
            else ""
        ),
        orthologs=lambda wildcards: sources.local_path(sample_orthologs(wildcards)),
        aliases=sources.local_path(ALIASES),
        min_counts=config["filter"]["min_counts"],
    script:
        "../scripts/check_sample.py"


# Good samples go on from here; the others wait in the cohort report with their remedy.
checkpoint collect_checks:
    input:
        checks=collect("results/samples/{sample}/check.json", sample=SAMPLES),
        # A run that goes on resolves only the checkpoints that it starts from: jobs behind both would never learn
        # their input if the other one came in with them.
        cohort=branch(COHORT, then="results/cohort.json", otherwise=[]),
    output:
        summary="results/check.json",
    log:
        "logs/check.log",
    localrule: True
    conda:
        "../../envs/core.yaml"
    params:
        samples=list(SAMPLES),
        rejected=SHEET.rejected,
    script:
        "../scripts/collect_checks.py"


# What is trained on the cohort waits for its own samples only: one that is not marked `pretrain` touches no training.
checkpoint collect_cohort:
    input:
        checks=collect("results/samples/{sample}/check.json", sample=COHORT),
    output:
        summary="results/cohort.json",
    log:
        "logs/cohort.log",
    localrule: True
    conda:
        "../../envs/core.yaml"
    params:
        samples=COHORT,
        rejected={},
    script:
        "../scripts/collect_checks.py"
