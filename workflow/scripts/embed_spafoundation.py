"""Encode H&E tiles with the pretrained image model."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.device import requested_gpus
    from tissuemake.models.spafoundation.encode import embed_spafoundation
    from tissuemake.models.store import check_pinned

    check_pinned("spafoundation", snakemake.params.model, snakemake.config["models"]["spafoundation"])
    embed_spafoundation(
        Path(snakemake.input.tiles),
        snakemake.params.model,
        Path(snakemake.output.embeddings),
        gpus=requested_gpus(snakemake.resources),
    )
