rule filter_spots:
    input:
        ingested="results/samples/{sample}/ingested.h5ad",
    output:
        filtered="results/samples/{sample}/filtered.h5ad",
        figure=report(
            "results/samples/{sample}/quality.png",
            caption="../report/quality.rst",
            category="Quality",
            labels={"sample": "{sample}"},
        ),
    log:
        "logs/samples/{sample}/filtered.log",
    benchmark:
        "benchmarks/samples/{sample}/filtered.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(20, 2000),
        runtime=minutes(0.2, 30),
    params:
        overrides=config["filter"],
    script:
        "../scripts/filter_spots.py"
