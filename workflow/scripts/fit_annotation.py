"""Fit what tells labels from the numbers of spots, on the labelled samples of the cohort."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.models.sagefm.annotate import fit_annotation

    fit_annotation(
        [
            (Path(filtered), Path(embeddings), row["labels"])
            for filtered, embeddings, row in zip(
                snakemake.input.filtered, snakemake.input.embeddings, snakemake.params.rows, strict=True
            )
        ],
        Path(snakemake.output.model[0]).parent,
        ignored_labels=snakemake.params.ignored_labels,
        seed=snakemake.params.seed,
    )
