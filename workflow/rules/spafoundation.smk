# With given weights there is no such rule: no change of any file can start a training.
if SPAFOUNDATION["weights"] == PRETRAIN:

    rule pretrain_spafoundation:
        input:
            tiles=of_cohort("results/samples/{sample}/tiles.arrow"),
        output:
            model=expand("results/models/spafoundation/{name}", name=MODEL_FILES),
        log:
            "logs/models/spafoundation.log",
        benchmark:
            "benchmarks/models/spafoundation.tsv"
        retries: TRAINING_RETRIES
        conda:
            "../../envs/torch.yaml"
        threads: lookup(dpath=SPAFOUNDATION["preset"], within={"tiny": 1, "small": 8, "base": 8})
        resources:
            mem_mb=megabytes(4, 4000),
            runtime=lookup(dpath=SPAFOUNDATION["preset"], within={"tiny": 60, "small": 1440, "base": 2880}),
            gpu=1,
        params:
            preset=SPAFOUNDATION["preset"],
            donors=lambda wildcards: [SAMPLES[name].donor or name for name in passed_cohort()],
            seed=config["seed"],
            # Not an output: a retry goes on from what a killed job left here.
            checkpoints="results/checkpoints/spafoundation",
        script:
            "../scripts/pretrain_spafoundation.py"

elif is_checkpoint(SPAFOUNDATION["weights"]):

    rule import_spafoundation:
        input:
            checkpoint=SPAFOUNDATION["weights"],
        output:
            model=expand("results/models/spafoundation/{name}", name=MODEL_FILES),
        log:
            "logs/models/spafoundation.log",
        conda:
            "../../envs/torch.yaml"
        resources:
            mem_mb=4000,
            runtime=15,
        script:
            "../scripts/import_spafoundation.py"


rule embed_spafoundation:
    input:
        tiles="results/samples/{sample}/tiles.arrow",
        model=spafoundation_files,
    output:
        embeddings="results/samples/{sample}/embeddings/spafoundation.h5ad",
    log:
        "logs/samples/{sample}/embeddings/spafoundation.log",
    benchmark:
        "benchmarks/samples/{sample}/embeddings/spafoundation.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=megabytes(0, 3000),
        runtime=minutes(1, 60),
        gpu=1,
    params:
        model=spafoundation_model(),
    script:
        "../scripts/embed_spafoundation.py"
