"""Score every gene set in every spot from measured expression."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.pathways.scores import score_pathways

    score_pathways(
        Path(snakemake.input.filtered),
        Path(snakemake.input.gene_sets),
        Path(snakemake.input.scaling) if snakemake.input.scaling else None,
        Path(snakemake.output.scores),
        method=snakemake.params.method,
        depth=snakemake.params.depth,
        orthologs=snakemake.params.orthologs,
        aliases=snakemake.params.aliases,
        library=snakemake.params.library,
    )
