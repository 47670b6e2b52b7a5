"""Drop spots that cannot be trusted, each with its reason."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.quality.filter import filter_spots

    filter_spots(
        Path(snakemake.input.ingested),
        Path(snakemake.output.filtered),
        Path(snakemake.output.figure),
        overrides=dict(snakemake.params.overrides),
    )
