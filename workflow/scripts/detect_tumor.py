"""Give every spot its probability of tumour, from the image alone."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.models.histology_heads.tumor import detect_tumor
    from tissuemake.pins import check_pinned_heads

    check_pinned_heads(snakemake.config["histology"])
    detect_tumor(
        Path(snakemake.input.filtered),
        Path(snakemake.input.embeddings),
        Path(snakemake.input.model[0]).parent,
        Path(snakemake.output.tumor),
    )
