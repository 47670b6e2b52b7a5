"""Write the page of one sample."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.reporting.sample_page import report_sample

    report_sample(
        snakemake.wildcards.sample,
        check=Path(snakemake.input.check),
        filtered=Path(snakemake.input.filtered),
        proportions={Path(path).stem: Path(path) for path in snakemake.input.proportions},
        imputed={Path(path).stem: Path(path) for path in snakemake.input.imputed},
        attributions={Path(path).stem: Path(path) for path in snakemake.input.attributions},
        models={
            name: Path(files[0]).parent
            for name, files in (
                ("sparank", snakemake.input.model),
                ("spafoundation", snakemake.input.image_model),
                ("sagefm", snakemake.input.spot_model),
                ("quadflow", snakemake.input.pathway_model),
            )
            if files
        },
        embeddings={Path(path).stem: Path(path) for path in snakemake.input.embeddings},
        tumor={Path(path).stem: Path(path) for path in snakemake.input.tumor},
        highres={Path(path).stem: Path(path) for path in snakemake.input.highres},
        **{
            name: {Path(path).stem: Path(path) for path in snakemake.input[name]}
            for name in ("spot_embeddings", "annotation", "perturbation", "pathways", "borders", "attention")
        },
        cell_types=next(map(Path, snakemake.input.cell_types), None),
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
