"""Pretrain a model on an atlas, to deconvolve spots it has never seen."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.device import requested_gpus
    from tissuemake.models.sparank.pretrain import pretrain_sparank

    pretrain_sparank(
        Path(snakemake.input.reference),
        Path(snakemake.input.markers),
        Path(snakemake.output.model[0]).parent,
        preset=snakemake.params.preset,
        seed=snakemake.params.seed,
        gpus=requested_gpus(snakemake.resources),
        checkpoints=Path(snakemake.params.checkpoints),
        sections=[
            (Path(filtered), Path(embeddings))
            for filtered, embeddings in zip(snakemake.input.filtered, snakemake.input.embeddings, strict=True)
        ],
    )
