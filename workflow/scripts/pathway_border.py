"""Follow pathways across the border of the tumour."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.pathways.border import measure_border

    measure_border(
        Path(snakemake.input.filtered),
        Path(snakemake.input.scores),
        snakemake.input.border[0] if snakemake.params.predicted else snakemake.params.labels,
        Path(snakemake.output.border),
        inside=snakemake.params.inside,
        source_path=snakemake.params.source_path,
        seed=snakemake.params.seed,
        strict=False,
    )
