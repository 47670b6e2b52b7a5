"""Prepare a single-cell atlas as a reference."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.reference.atlas import prepare_reference
    from tissuemake.sheets import Reference

    prepare_reference(
        Reference(**snakemake.params.row),
        Path(snakemake.output.reference),
        Path(snakemake.output.signatures),
        Path(snakemake.output.markers),
        min_cells=snakemake.params.min_cells,
        organism=snakemake.params.organism,
        orthologs=snakemake.params.orthologs or None,
    )
