"""Predict genes from a spot's other genes and the spots around it, and score the prediction on hidden ones."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.device import requested_gpus
    from tissuemake.models.sagefm.impute import impute_sagefm
    from tissuemake.models.store import check_pinned

    check_pinned("sagefm", snakemake.params.model, snakemake.config["models"]["sagefm"])
    impute_sagefm(
        Path(snakemake.input.filtered),
        snakemake.params.model,
        Path(snakemake.output.imputed),
        seed=snakemake.params.seed,
        held_out_genes=snakemake.params.held_out_genes,
        gpus=requested_gpus(snakemake.resources),
    )
