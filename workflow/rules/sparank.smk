# Above this size of filtered.h5ad, some 15,000 spots of 2,000 genes, a GPU is asked for: a choice, not a measurement. 10,000 such
# spots are 10 seconds of one processor.
LARGE_MB = 200


# With given weights there is no such rule: no change of any file can start a training.
if SPARANK["weights"] == PRETRAIN:

    rule pretrain_sparank:
        input:
            reference="results/references/{reference}/reference.h5ad",
            markers="results/references/{reference}/markers.parquet",
            filtered=sparank_cohort("results/samples/{sample}/filtered.h5ad"),
            embeddings=sparank_cohort("results/samples/{sample}/embeddings/{images}.h5ad"),
        output:
            model=expand("results/models/sparank-{{reference}}/{name}", name=MODEL_FILES),
        log:
            "logs/models/sparank-{reference}.log",
        benchmark:
            "benchmarks/models/sparank-{reference}.tsv"
        retries: TRAINING_RETRIES
        conda:
            "../../envs/torch.yaml"
        # The tiny network's products are so small that two threads wait for each other: on a busy machine of 2 cores
        # a step took 1.9 s with two threads and 0.09 s with one.
        threads: lookup(dpath=SPARANK["preset"], within={"tiny": 1, "small": 4, "base": 8})
        resources:
            mem_mb=megabytes(20, 4000),
            runtime=lookup(dpath=SPARANK["preset"], within={"tiny": 60, "small": 360, "base": 1440}),
            gpu=1,
        params:
            preset=SPARANK["preset"],
            seed=config["seed"],
            # Not an output: a retry goes on from what a killed job left here.
            checkpoints="results/checkpoints/sparank-{reference}",
        script:
            "../scripts/pretrain_sparank.py"


rule deconvolve_sparank:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        model=sparank_files,
        embeddings=branch(
            SPARANK["images"],
            then=f"results/samples/{{sample}}/embeddings/{SPARANK['images']}.h5ad",
            otherwise=[],
        ),
        orthologs=source_files(ORTHOLOGS),
        aliases=source_files(ALIASES),
    output:
        proportions="results/samples/{sample}/proportions/sparank.parquet",
        attributions="results/samples/{sample}/attributions/sparank.parquet",
    log:
        "logs/samples/{sample}/proportions/sparank.log",
    benchmark:
        "benchmarks/samples/{sample}/proportions/sparank.tsv"
    conda:
        "../../envs/torch.yaml"
    # 10,000 spots on a busy machine of 2 cores: 89 s with one thread, more than 320 s (stopped) with two.
    threads: 1
    resources:
        mem_mb=megabytes(10, 3000),
        runtime=minutes(0.5, 30),
        gpu=lambda wildcards, input: int(input_mb(input) > LARGE_MB),
    params:
        model=sparank_model,
        seed=config["seed"],
        orthologs=sources.local_path(ORTHOLOGS),
        aliases=sources.local_path(ALIASES),
    script:
        "../scripts/deconvolve_sparank.py"
