"""Combine what the sections of a cohort say of pairs."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.models.sagefm.perturb import perturb_cohort

    perturb_cohort([Path(table) for table in snakemake.input.tables], Path(snakemake.output.perturbation))
