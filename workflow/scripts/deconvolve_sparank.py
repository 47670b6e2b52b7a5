"""Estimate cell types per spot with a pretrained model."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.device import requested_gpus
    from tissuemake.models.sparank.deconvolve import deconvolve_sparank
    from tissuemake.models.store import check_pinned

    check_pinned("sparank", snakemake.params.model, snakemake.config["models"]["sparank"])
    deconvolve_sparank(
        Path(snakemake.input.filtered),
        snakemake.params.model,
        Path(snakemake.output.proportions),
        Path(snakemake.output.attributions),
        seed=snakemake.params.seed,
        gpus=requested_gpus(snakemake.resources),
        aliases=snakemake.params.aliases or None,
        orthologs=snakemake.params.orthologs or None,
        embeddings=Path(snakemake.input.embeddings) if snakemake.input.embeddings else None,
    )
