rule cluster_domains:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        embeddings=of_encoders(pictured_encoders, "results/samples/{{sample}}/embeddings/{encoder}.h5ad"),
        spot_embeddings=of_spot_models(
            spot_embeddings, "results/samples/{{sample}}/spot_embeddings/{model}.h5ad"
        ),
    output:
        domains="results/samples/{sample}/domains.parquet",
    log:
        "logs/samples/{sample}/domains.log",
    benchmark:
        "benchmarks/samples/{sample}/domains.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(15, 2000),
        runtime=minutes(0.5, 30),
    params:
        resolution=config["domains"]["resolution"],
        domains=config["domains"]["number"],
        seed=config["seed"],
    script:
        "../scripts/cluster_domains.py"


rule spatial_statistics:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        domains="results/samples/{sample}/domains.parquet",
    output:
        moran="results/samples/{sample}/statistics/moran.parquet",
        neighborhood="results/samples/{sample}/statistics/neighborhood_enrichment.parquet",
        ligand_receptor="results/samples/{sample}/statistics/ligand_receptor.parquet",
    log:
        "logs/samples/{sample}/statistics.log",
    benchmark:
        "benchmarks/samples/{sample}/statistics.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(20, 3000),
        runtime=minutes(0.5, 30),
    params:
        seed=config["seed"],
    script:
        "../scripts/spatial_statistics.py"
