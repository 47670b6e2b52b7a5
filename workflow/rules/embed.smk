from tissuemake.histology.published_encoders import ENCODERS


rule embed_tiles:
    input:
        tiles="results/samples/{sample}/tiles.arrow",
    output:
        embeddings="results/samples/{sample}/embeddings/{encoder}.h5ad",
    log:
        "logs/samples/{sample}/embeddings/{encoder}.log",
    benchmark:
        "benchmarks/samples/{sample}/embeddings/{encoder}.tsv"
    wildcard_constraints:
        encoder="|".join(ENCODERS),
    conda:
        "../../envs/torch.yaml"
    threads: lambda wildcards: 4 if ENCODERS[wildcards.encoder].millions else 1
    resources:
        # Tiles are streamed: memory does not depend on their number. While a network is loaded, its weights (4 bytes
        # each) are in memory twice.
        mem_mb=lambda wildcards, attempt: int((1500 + 8.5 * ENCODERS[wildcards.encoder].millions) * attempt),
        runtime=minutes(1, 60),
        gpu=lambda wildcards: int(ENCODERS[wildcards.encoder].millions > 0),
    params:
        # Empty: from the hub, or from its cache on this machine.
        weights=lambda wildcards: (
            f"{HISTOLOGY['weights']}/{wildcards.encoder}"
            if HISTOLOGY["weights"] and ENCODERS[wildcards.encoder].millions
            else ""
        ),
    script:
        "../scripts/embed_tiles.py"
