rule embed_tiles:
    input:
        tiles="results/samples/{sample}/tiles.parquet",
    output:
        embeddings="results/samples/{sample}/embeddings/{encoder}.h5ad",
    log:
        "logs/samples/{sample}/embeddings/{encoder}.log",
    benchmark:
        "benchmarks/samples/{sample}/embeddings/{encoder}.tsv"
    wildcard_constraints:
        encoder="color",
    conda:
        "../../envs/histology.yaml"
    resources:
        # Tiles are streamed: memory does not depend on their number.
        mem_mb=megabytes(0, 1000),
        runtime=120,
    script:
        "../scripts/embed_tiles.py"
