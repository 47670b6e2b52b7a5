rule tile_slide:
    input:
        ingested="results/samples/{sample}/ingested.h5ad",
        image=sample_sources("image"),
    output:
        tiles="results/samples/{sample}/tiles.arrow",
    log:
        "logs/samples/{sample}/tiles.log",
    benchmark:
        "benchmarks/samples/{sample}/tiles.tsv"
    conda:
        "../../envs/histology.yaml"
    threads: 8
    resources:
        mem_mb=megabytes(1, 4000),
        runtime=minutes(0.1, 60),
    params:
        size_um=config["tiles"]["size_um"],
        size_px=config["tiles"]["size_px"],
        grid=config["tiles"]["grid"],
        overlap=config["tiles"]["overlap"],
        stain_normalization=config["tiles"]["stain_normalization"],
    script:
        "../scripts/tile_slide.py"
