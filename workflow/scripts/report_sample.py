"""Write the page of one sample."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.reporting.sample_page import report_sample
    from tissuemake.reporting.stage_files import stage_files

    report_sample(
        snakemake.wildcards.sample,
        **stage_files(snakemake.input),
        check=Path(snakemake.input.check),
        filtered=Path(snakemake.input.filtered),
        pseudo_spots=next(map(Path, snakemake.input.pseudo_spots), None),
        domains=Path(snakemake.input.domains),
        statistics={
            "moran": Path(snakemake.input.moran),
            "neighborhood_enrichment": Path(snakemake.input.neighborhood),
            "ligand_receptor": Path(snakemake.input.ligand_receptor),
        },
        evaluation=Path(snakemake.input.evaluation),
        qc_figure=Path(snakemake.input.figure),
        tiles=Path(snakemake.input.tiles),
        markers=next(map(Path, snakemake.input.markers), None),
        row=snakemake.params.row,
        reference_check=Path(snakemake.input.reference_check) if snakemake.input.reference_check else None,
        output=Path(snakemake.output.page),
        decisions=Path(snakemake.output.decisions),
        methods_text=Path(snakemake.output.methods),
    )
