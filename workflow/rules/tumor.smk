# With given heads there is no such rule: nothing is fitted.
if not HISTOLOGY["heads"]:

    rule fit_tumor:
        input:
            filtered=of_cohort("results/samples/{sample}/filtered.h5ad", "labels"),
            embeddings=of_cohort("results/samples/{sample}/embeddings/{encoder}.h5ad", "labels"),
            labels=lambda wildcards: [
                waits for name in passed_cohort() for waits in source_files(SAMPLES[name].labels)
            ],
        output:
            model=expand("results/models/tumor-{{encoder}}/{name}", name=MODEL_FILES),
        log:
            "logs/models/tumor-{encoder}.log",
        benchmark:
            "benchmarks/models/tumor-{encoder}.tsv"
        conda:
            "../../envs/torch.yaml"
        resources:
            mem_mb=megabytes(10, 2000),
            runtime=minutes(0.2, 60),
        params:
            rows=lambda wildcards: [
                SAMPLES[name].located().as_dict() for name in passed_cohort() if SAMPLES[name].labels
            ],
            tumor_labels=HISTOLOGY["tumor_labels"],
            ignored_labels=HISTOLOGY["ignored_labels"],
            seed=config["seed"],
        script:
            "../scripts/fit_tumor.py"


rule detect_tumor:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        embeddings="results/samples/{sample}/embeddings/{encoder}.h5ad",
        model=head("tumor"),
    output:
        tumor="results/samples/{sample}/tumor/{encoder}.parquet",
    log:
        "logs/samples/{sample}/tumor/{encoder}.log",
    benchmark:
        "benchmarks/samples/{sample}/tumor/{encoder}.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=megabytes(8, 2000),
        runtime=minutes(0.2, 20),
    script:
        "../scripts/detect_tumor.py"
