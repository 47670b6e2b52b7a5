"""Give every spot its most probable label."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.models.sagefm.annotate import annotate_spots

    annotate_spots(
        Path(snakemake.input.filtered),
        Path(snakemake.input.embeddings),
        Path(snakemake.input.model[0]).parent,
        Path(snakemake.output.annotation),
    )
