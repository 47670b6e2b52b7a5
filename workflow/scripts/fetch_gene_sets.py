"""Put the library of gene sets where the other steps read it."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.pathways.library import fetched_library

    fetched_library(snakemake.params.cell, snakemake.params.receipt, Path(snakemake.output.gene_sets))
