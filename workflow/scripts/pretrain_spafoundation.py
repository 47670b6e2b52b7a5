"""Pretrain the image model on the tiles of a cohort."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.device import requested_gpus
    from tissuemake.models.spafoundation.pretrain import pretrain_spafoundation

    pretrain_spafoundation(
        [Path(tiles) for tiles in snakemake.input.tiles],
        Path(snakemake.output.model[0]).parent,
        preset=snakemake.params.preset,
        seed=snakemake.params.seed,
        gpus=requested_gpus(snakemake.resources),
        checkpoints=Path(snakemake.params.checkpoints),
        donors=snakemake.params.donors,
    )
