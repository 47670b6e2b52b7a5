rule tile_slide:
    input:
        ingested="results/samples/{sample}/ingested.h5ad",
        image=sample_sources("image"),
    output:
        tiles="results/samples/{sample}/tiles.parquet",
    log:
        "logs/samples/{sample}/tiles.log",
    benchmark:
        "benchmarks/samples/{sample}/tiles.tsv"
    conda:
        "../../envs/histology.yaml"
    resources:
        mem_mb=megabytes(4, 2000),
        runtime=240,
    params:
        size_um=config["tiles"]["size_um"],
        size_px=config["tiles"]["size_px"],
        grid=config["tiles"]["grid"],
    script:
        "../scripts/tile_slide.py"
