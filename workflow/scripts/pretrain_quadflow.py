"""Pretrain the pathway transformer on the images and pathway scores of a cohort."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.device import requested_gpus
    from tissuemake.models.quadflow.pretrain import pretrain_quadflow

    pretrain_quadflow(
        [Path(filtered) for filtered in snakemake.input.filtered],
        [Path(embeddings) for embeddings in snakemake.input.embeddings],
        [Path(scores) for scores in snakemake.input.scores],
        Path(snakemake.input.gene_sets),
        Path(snakemake.output.model[0]).parent,
        preset=snakemake.params.preset,
        flows=snakemake.params.flows,
        correlation=snakemake.params.correlation,
        smoothness=snakemake.params.smoothness,
        free=snakemake.params.free,
        expression=snakemake.params.expression,
        seed=snakemake.params.seed,
        gpus=requested_gpus(snakemake.resources),
        checkpoints=Path(snakemake.params.checkpoints),
        orthologs=snakemake.params.orthologs,
    )
