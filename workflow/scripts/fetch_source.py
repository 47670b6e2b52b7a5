"""Fetch what a sheet names by URL."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.fetch import fetch_source

    fetch_source(snakemake.params.cell, Path(snakemake.output.receipt))
