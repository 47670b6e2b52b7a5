"""Read pathways, genes through them, and who looked at whom off the image of a sample."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.device import requested_gpus
    from tissuemake.models.quadflow.predict import predict_pathways
    from tissuemake.models.store import check_pinned

    check_pinned("quadflow", snakemake.params.model, snakemake.config["models"]["quadflow"])
    predict_pathways(
        Path(snakemake.input.embeddings),
        snakemake.params.model,
        Path(snakemake.output.pathways),
        Path(snakemake.output.genes),
        Path(snakemake.output.attention),
        filtered=Path(snakemake.input.filtered),
        gpus=requested_gpus(snakemake.resources),
    )
