"""Pretrain the spatial graph model on the spots of a cohort."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.device import requested_gpus
    from tissuemake.models.sagefm.pretrain import pretrain_sagefm

    pretrain_sagefm(
        [Path(filtered) for filtered in snakemake.input.filtered],
        Path(snakemake.output.model[0]).parent,
        preset=snakemake.params.preset,
        graph=snakemake.params.graph,
        seed=snakemake.params.seed,
        gpus=requested_gpus(snakemake.resources),
        checkpoints=Path(snakemake.params.checkpoints),
    )
