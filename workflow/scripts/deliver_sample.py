"""Assemble what a core facility hands over."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.reporting.delivery import deliver_sample
    from tissuemake.reporting.stage_files import stage_files

    deliver_sample(
        snakemake.wildcards.sample,
        **stage_files(snakemake.input),
        check=Path(snakemake.input.check),
        ingested=Path(snakemake.input.ingested),
        filtered=Path(snakemake.input.filtered),
        domains=Path(snakemake.input.domains),
        report=Path(snakemake.input.page),
        decisions=Path(snakemake.input.decisions),
        methods=Path(snakemake.input.methods),
        row=snakemake.params.row,
        config=snakemake.params.config,
        output=Path(snakemake.output.manifest).parent,
    )
