"""Assemble what a core facility hands over."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.reporting.delivery import deliver_sample

    deliver_sample(
        snakemake.wildcards.sample,
        check=Path(snakemake.input.check),
        ingested=Path(snakemake.input.ingested),
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
        domains=Path(snakemake.input.domains),
        report=Path(snakemake.input.page),
        decisions=Path(snakemake.input.decisions),
        methods=Path(snakemake.input.methods),
        row=snakemake.params.row,
        config=snakemake.params.config,
        output=Path(snakemake.output.manifest).parent,
    )
