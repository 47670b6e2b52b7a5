"""Fit what tells tumour from an encoder of the image, on pathologists' labels."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.models.histology_heads.tumor import fit_tumor

    fit_tumor(
        [
            (Path(filtered), Path(embeddings), row["labels"])
            for filtered, embeddings, row in zip(
                snakemake.input.filtered, snakemake.input.embeddings, snakemake.params.rows, strict=True
            )
        ],
        Path(snakemake.output.model[0]).parent,
        tumor_labels=snakemake.params.tumor_labels,
        ignored_labels=snakemake.params.ignored_labels,
        seed=snakemake.params.seed,
    )
