"""Encode H&E tiles as vectors."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.device import requested_gpus
    from tissuemake.histology.encoders import embed_tiles

    embed_tiles(
        Path(snakemake.input.tiles),
        Path(snakemake.output.embeddings),
        encoder=snakemake.wildcards.encoder,
        weights=Path(snakemake.params.weights) if snakemake.params.weights else None,
        gpus=requested_gpus(snakemake.resources),
    )
