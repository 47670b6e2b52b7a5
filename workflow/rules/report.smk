rule report_sample:
    input:
        check="results/samples/{sample}/check.json",
        filtered="results/samples/{sample}/filtered.h5ad",
        proportions=rules.evaluate_sample.input.proportions,
        imputed=rules.evaluate_sample.input.imputed,
        domains="results/samples/{sample}/domains.parquet",
        moran="results/samples/{sample}/statistics/moran.parquet",
        neighborhood="results/samples/{sample}/statistics/neighborhood_enrichment.parquet",
        ligand_receptor="results/samples/{sample}/statistics/ligand_receptor.parquet",
        evaluation="results/samples/{sample}/evaluation.parquet",
        figure="results/samples/{sample}/quality.png",
        tiles="results/samples/{sample}/tiles.arrow",
        embeddings=of_encoders(read_encoders, "results/samples/{{sample}}/embeddings/{encoder}.h5ad"),
        tumor=rules.evaluate_sample.input.tumor,
        highres=of_encoders(highres_encoders, "results/samples/{{sample}}/highres/{encoder}.h5ad"),
        annotation=rules.evaluate_sample.input.annotation,
        cell_types=rules.evaluate_sample.input.cell_types,
        pseudo_spots=pseudo_spot_scores,
        perturbation=of_spot_models(perturbations, "results/samples/{{sample}}/perturbation/{model}.parquet"),
        spot_embeddings=of_spot_models(
            spot_embeddings, "results/samples/{{sample}}/spot_embeddings/{model}.h5ad"
        ),
        spot_model=spot_models,
        pathways=rules.evaluate_sample.input.pathways,
        borders=of_pathways(borders, "results/samples/{{sample}}/borders/{table}.parquet"),
        attention=of_pathways(pathway_models, "results/samples/{{sample}}/attention/{table}.parquet"),
        pathway_model=pathway_model_files,
        attributions=of_sparank(sparank_attributions),
        model=of_sparank(sparank_files),
        markers=of_sparank(sparank_markers),
        reference_check=of_reference("results/references/{reference}/check.json"),
        image_model=lambda wildcards: (
            spafoundation_files(wildcards) if "spafoundation" in read_encoders(wildcards.sample) else []
        ),
    output:
        page=report(
            "results/samples/{sample}/report.html",
            caption="../report/sample.rst",
            category="Samples",
            labels={"sample": "{sample}"},
        ),
        decisions="results/samples/{sample}/decisions.json",
        methods="results/samples/{sample}/methods.md",
    log:
        "logs/samples/{sample}/report.log",
    benchmark:
        "benchmarks/samples/{sample}/report.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(8, 2000),
        runtime=minutes(0.1, 20),
    params:
        row=lambda wildcards: SAMPLES[wildcards.sample].as_dict(),
    script:
        "../scripts/report_sample.py"


rule report_cohort:
    input:
        summary="results/check.json",
        checks=collect("results/samples/{sample}/check.json", sample=SAMPLES),
        pages=lambda wildcards: collect("results/samples/{sample}/report.html", sample=passed_samples()),
        filtered=lambda wildcards: collect("results/samples/{sample}/filtered.h5ad", sample=passed_samples()),
        proportions=lambda wildcards: [
            f"results/samples/{sample}/proportions/{method}.parquet"
            for sample in passed_samples()
            for method in deconvolution_methods(sample)
        ],
        imputed=lambda wildcards: [
            f"results/samples/{sample}/imputed/{method}.h5ad"
            for sample in passed_samples()
            for method in imputation_methods(sample)
        ],
        domains=lambda wildcards: collect("results/samples/{sample}/domains.parquet", sample=passed_samples()),
        evaluation=collect("results/evaluation/{task}.parquet", task=TASKS),
        perturbation=branch(PAIRS, then="results/perturbation/sagefm.parquet", otherwise=[]),
        history=config["report"]["history"],
    output:
        page=report(
            "results/report/index.html",
            caption="../report/cohort.rst",
            category="Cohort",
        ),
        quality="results/report/quality.tsv",
        multiqc=directory("results/report/multiqc"),
    log:
        "logs/report.log",
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(1, 2000),
        runtime=minutes(0.05, 30),
    params:
        rows={name: row.as_dict() for name, row in SAMPLES.items()},
        rejected=SHEET.rejected | left_out(),
        # No input: each job writes one when it ends, those after this page as well.
        benchmarks="benchmarks",
    script:
        "../scripts/report_cohort.py"
