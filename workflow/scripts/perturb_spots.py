"""Set ligands to other values, and read what the model then says of their receptors."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.device import requested_gpus
    from tissuemake.models.sagefm.perturb import perturb_spots
    from tissuemake.models.store import check_pinned

    check_pinned("sagefm", snakemake.params.model, snakemake.config["models"]["sagefm"])
    perturb_spots(
        Path(snakemake.input.filtered),
        snakemake.params.model,
        Path(snakemake.output.perturbation),
        pairs=Path(snakemake.params.pairs) if snakemake.params.pairs else None,
        seed=snakemake.params.seed,
        gpus=requested_gpus(snakemake.resources),
    )
