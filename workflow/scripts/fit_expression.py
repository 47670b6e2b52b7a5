"""Fit what predicts genes from an encoder of the image."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.models.histology_heads.expression import fit_expression

    fit_expression(
        [
            (Path(filtered), Path(embeddings))
            for filtered, embeddings in zip(snakemake.input.filtered, snakemake.input.embeddings, strict=True)
        ],
        Path(snakemake.output.model[0]).parent,
        seed=snakemake.params.seed,
    )
