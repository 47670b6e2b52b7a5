CELLS = [
    getattr(row, column)
    for rows, columns in (
        (SAMPLES, ("path", "spots", "image", "alignment", "labels", "truth")),
        (REFERENCES, ("path", "labels")),
    )
    for row in rows.values()
    for column in columns
]
REMOTE = {
    sources.key(cell): cell
    for cell in (*CELLS, ORTHOLOGS, ALIASES, PAIRS, GENE_SETS)
    if sources.is_remote(cell)
}


# A failed download is written into the receipt, so that the other samples go on.
rule fetch_source:
    output:
        receipt="results/downloads/{key}.json",
    log:
        "logs/downloads/{key}.log",
    benchmark:
        "benchmarks/downloads/{key}.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=500,
        runtime=minutes(0, 240),
    params:
        cell=lambda wildcards: REMOTE[wildcards.key],
    script:
        "../scripts/fetch_source.py"
