# With given weights there is no such rule: no change of any file can start a training.
if QUADFLOW["weights"] == PRETRAIN:

    rule pretrain_quadflow:
        input:
            filtered=of_cohort("results/samples/{sample}/filtered.h5ad"),
            embeddings=of_cohort(f"results/samples/{{sample}}/embeddings/{QUADFLOW['encoder']}.h5ad"),
            scores=of_cohort("results/samples/{sample}/pathways/measured.parquet"),
            gene_sets="results/gene_sets/library.gmt",
            orthologs=source_files(ORTHOLOGS),
        output:
            model=expand("results/models/quadflow/{name}", name=MODEL_FILES),
        log:
            "logs/models/quadflow.log",
        benchmark:
            "benchmarks/models/quadflow.tsv"
        retries: TRAINING_RETRIES
        conda:
            "../../envs/torch.yaml"
        threads: lookup(dpath=QUADFLOW["preset"], within={"tiny": 1, "small": 8, "base": 8})
        resources:
            mem_mb=megabytes(20, 4000),
            runtime=lookup(dpath=QUADFLOW["preset"], within={"tiny": 60, "small": 720, "base": 2880}),
            gpu=1,
        params:
            **{
                name: QUADFLOW[name]
                for name in ("preset", "flows", "correlation", "smoothness", "free", "expression")
            },
            orthologs=sources.local_path(ORTHOLOGS),
            seed=config["seed"],
            # Not an output: a retry goes on from what a killed job left here.
            checkpoints="results/checkpoints/quadflow",
        script:
            "../scripts/pretrain_quadflow.py"


rule predict_pathways:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        embeddings=f"results/samples/{{sample}}/embeddings/{QUADFLOW['encoder']}.h5ad",
        model=quadflow_files,
    output:
        pathways="results/samples/{sample}/pathways/quadflow.parquet",
        genes="results/samples/{sample}/imputed/quadflow.h5ad",
        attention="results/samples/{sample}/attention/quadflow.parquet",
    log:
        "logs/samples/{sample}/pathways/quadflow.log",
    benchmark:
        "benchmarks/samples/{sample}/pathways/quadflow.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=megabytes(10, 3000),
        runtime=minutes(0.5, 30),
        gpu=lambda wildcards, input: int(input_mb(input) > LARGE_MB),
    params:
        model=quadflow_model(),
    script:
        "../scripts/predict_pathways.py"
