"""Take from the cohort what pathway scores are measured against."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.pathways.scaling import fit_scaling

    fit_scaling(
        [Path(filtered) for filtered in snakemake.input.filtered],
        Path(snakemake.input.gene_sets),
        Path(snakemake.output.scaling),
        orthologs=snakemake.params.orthologs,
        aliases=snakemake.params.aliases,
    )
