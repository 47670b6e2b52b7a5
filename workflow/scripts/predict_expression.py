"""Predict genes from the image alone."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.models.histology_heads.expression import predict_expression
    from tissuemake.pins import check_pinned_heads

    check_pinned_heads(snakemake.config["histology"])
    predict_expression(
        Path(snakemake.input.filtered),
        Path(snakemake.input.embeddings),
        Path(snakemake.input.model[0]).parent,
        Path(snakemake.output.imputed),
    )
