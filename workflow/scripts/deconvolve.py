"""Estimate cell types per spot."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.deconvolution import deconvolve
    from tissuemake.device import requested_gpus

    deconvolve(
        snakemake.wildcards.method,
        Path(snakemake.input.filtered),
        Path(snakemake.input.reference),
        Path(snakemake.input.signatures),
        Path(snakemake.input.markers),
        Path(snakemake.output.proportions),
        seed=snakemake.params.seed,
        gpus=requested_gpus(snakemake.resources),
        aliases=snakemake.params.aliases or None,
    )
