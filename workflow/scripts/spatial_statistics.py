"""Spatial autocorrelation, neighbourhood enrichment, ligand-receptor scores."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.domains.statistics import spatial_statistics

    spatial_statistics(
        Path(snakemake.input.filtered),
        Path(snakemake.input.domains),
        Path(snakemake.output.moran),
        Path(snakemake.output.neighborhood),
        Path(snakemake.output.ligand_receptor),
        seed=snakemake.params.seed,
    )
