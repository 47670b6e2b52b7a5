rule ingest_sample:
    input:
        check="results/samples/{sample}/check.json",
        sources=sample_sources("path", "spots", "image", "alignment"),
    output:
        ingested="results/samples/{sample}/ingested.h5ad",
    log:
        "logs/samples/{sample}/ingested.log",
    benchmark:
        "benchmarks/samples/{sample}/ingested.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(10, 2000),
        runtime=minutes(0.2, 30),
    params:
        row=sample_row,
        written=sample_written,
    script:
        "../scripts/ingest_sample.py"
