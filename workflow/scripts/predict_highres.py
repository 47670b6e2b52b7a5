"""Predict genes between and inside the spots."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.models.histology_heads.highres import predict_highres

    predict_highres(
        Path(snakemake.input.filtered),
        Path(snakemake.input.embeddings),
        Path(snakemake.output.highres),
    )
