# With given heads there is no such rule: nothing is fitted.
if not HISTOLOGY["heads"]:

    rule fit_expression:
        input:
            filtered=of_cohort("results/samples/{sample}/filtered.h5ad"),
            embeddings=of_cohort("results/samples/{sample}/embeddings/{encoder}.h5ad"),
        output:
            model=expand("results/models/expression-{{encoder}}/{name}", name=MODEL_FILES),
        log:
            "logs/models/expression-{encoder}.log",
        benchmark:
            "benchmarks/models/expression-{encoder}.tsv"
        conda:
            "../../envs/torch.yaml"
        resources:
            mem_mb=megabytes(10, 3000),
            runtime=minutes(0.2, 60),
        params:
            seed=config["seed"],
        script:
            "../scripts/fit_expression.py"


rule predict_expression:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        embeddings="results/samples/{sample}/embeddings/{encoder}.h5ad",
        model=head("expression"),
    output:
        imputed="results/samples/{sample}/imputed/{encoder}.h5ad",
    log:
        "logs/samples/{sample}/imputed/{encoder}.log",
    benchmark:
        "benchmarks/samples/{sample}/imputed/{encoder}.tsv"
    wildcard_constraints:
        encoder="|".join(HISTOLOGY["encoders"]) or "none",
    conda:
        "../../envs/torch.yaml"
    resources:
        # What is written is dense, and bounded: 400,000 bins with 250 genes peaked at 1.8 GB, their counts included.
        mem_mb=megabytes(10, 3000),
        runtime=minutes(0.2, 30),
    script:
        "../scripts/predict_expression.py"


rule predict_highres:
    input:
        filtered="results/samples/{sample}/filtered.h5ad",
        embeddings="results/samples/{sample}/embeddings/{encoder}.h5ad",
    output:
        highres="results/samples/{sample}/highres/{encoder}.h5ad",
    log:
        "logs/samples/{sample}/highres/{encoder}.log",
    benchmark:
        "benchmarks/samples/{sample}/highres/{encoder}.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=megabytes(10, 3000),
        runtime=minutes(0.2, 60),
    script:
        "../scripts/predict_highres.py"
