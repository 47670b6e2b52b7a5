rule deliver_sample:
    input:
        check="results/samples/{sample}/check.json",
        ingested="results/samples/{sample}/ingested.h5ad",
        filtered="results/samples/{sample}/filtered.h5ad",
        proportions=rules.evaluate_sample.input.proportions,
        imputed=rules.evaluate_sample.input.imputed,
        domains="results/samples/{sample}/domains.parquet",
        page="results/samples/{sample}/report.html",
        decisions="results/samples/{sample}/decisions.json",
        methods="results/samples/{sample}/methods.md",
        embeddings=rules.report_sample.input.embeddings,
        tumor=rules.report_sample.input.tumor,
        highres=rules.report_sample.input.highres,
        attributions=rules.report_sample.input.attributions,
        model=rules.report_sample.input.model,
        image_model=rules.report_sample.input.image_model,
        annotation=rules.report_sample.input.annotation,
        cell_types=rules.report_sample.input.cell_types,
        perturbation=rules.report_sample.input.perturbation,
        spot_embeddings=rules.report_sample.input.spot_embeddings,
        spot_model=rules.report_sample.input.spot_model,
        pathways=rules.report_sample.input.pathways,
        borders=rules.report_sample.input.borders,
        attention=rules.report_sample.input.attention,
        pathway_model=rules.report_sample.input.pathway_model,
    # The methods of a sample decide which tables and predictions lie beside these: the manifest, written last, names them all.
    output:
        h5ad="results/delivery/{sample}/{sample}.h5ad",
        zarr="results/delivery/{sample}/{sample}.spatialdata.zarr.zip",
        page="results/delivery/{sample}/report.html",
        manifest="results/delivery/{sample}/manifest.json",
    log:
        "logs/delivery/{sample}.log",
    benchmark:
        "benchmarks/delivery/{sample}.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=megabytes(10, 2000),
        runtime=minutes(0.2, 30),
    params:
        row=lambda wildcards: SAMPLES[wildcards.sample].as_dict(),
        # That it asks for `input` keeps it out of what Snakemake compares: a key that changed nothing of a sample must not
        # write its delivery again. The manifest holds the config that the delivery was made with.
        config=lambda wildcards, input: config,
    script:
        "../scripts/deliver_sample.py"
