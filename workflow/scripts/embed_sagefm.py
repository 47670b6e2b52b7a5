"""Turn every spot and what lies around it into numbers."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.device import requested_gpus
    from tissuemake.models.sagefm.encode import embed_sagefm
    from tissuemake.models.store import check_pinned

    check_pinned("sagefm", snakemake.params.model, snakemake.config["models"]["sagefm"])
    embed_sagefm(
        Path(snakemake.input.filtered),
        snakemake.params.model,
        Path(snakemake.output.embeddings),
        gpus=requested_gpus(snakemake.resources),
    )
