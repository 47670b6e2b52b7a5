"""Commands around pathways: score gene sets, follow them across a border, and read them off H&E."""

from pathlib import Path
from typing import Annotated

import typer

from tissuemake.cli.options import Aliases, Gpus, Orthologs, Output, Seed, app

GeneSets = Annotated[Path, typer.Option(help="Library of gene sets (GMT, may be gzipped).")]


@app.command()
def fit_pathway_scaling(
    sections: Annotated[list[Path], typer.Argument(help="h5ad files written by `filter`.")],
    gene_sets: GeneSets,
    output: Output,
    orthologs: Orthologs = None,
    aliases: Aliases = None,
) -> None:
    """Take from a cohort the scale on which scores of any section compare.

    Example: tissuemake fit-pathway-scaling a.h5ad b.h5ad --gene-sets hallmark.gmt -o scaling.parquet
    """
    from tissuemake.pathways.scaling import fit_scaling

    fit_scaling(sections, gene_sets, output, orthologs=orthologs, aliases=aliases)
    typer.echo(f"{output}: use it with tissuemake score-pathways SAMPLE.h5ad --scaling {output}")


@app.command()
def score_pathways(
    filtered: Annotated[Path, typer.Argument(help="h5ad written by `filter`.")],
    gene_sets: GeneSets,
    output: Output,
    scaling: Annotated[
        Path | None, typer.Option(help="Written by `fit-pathway-scaling`; the section itself if not given.")
    ] = None,
    method: Annotated[str, typer.Option(help="zscore, ulm or aucell.")] = "zscore",
    depth: Annotated[
        str,
        typer.Option(
            help="residuals, corrected (no library size at all) or published (mostly library size)."
        ),
    ] = "residuals",
    orthologs: Orthologs = None,
    aliases: Aliases = None,
) -> None:
    """Score every gene set in every spot from measured expression.

    Example: tissuemake score-pathways filtered.h5ad --gene-sets hallmark.gmt -o pathways.parquet
    """
    from tissuemake.contracts import PATHWAYS, read_table
    from tissuemake.pathways.scores import score_pathways as score

    options = {"method": method, "depth": depth, "orthologs": orthologs, "aliases": aliases}
    score(filtered, gene_sets, scaling, output, **options)
    table = read_table(output, PATHWAYS)
    record = table.attrs["tissuemake"]
    if record.get("reason"):
        typer.echo(f"{output}: no scores. {record['reason']}")
        return
    sizes = [abs(r) for r in record["depth_r"].values()]
    typer.echo(
        f"{output}: {len(table.columns)} sets, {len(table)} spots; mean size of their correlation with log library "
        f"size {sum(sizes) / len(sizes):.2f}"
    )
    if record["attribution"]:
        typer.echo(f"{record['attribution']}.")


@app.command()
def pathway_border(
    filtered: Annotated[Path, typer.Argument(help="h5ad written by `filter`.")],
    scores: Annotated[Path, typer.Argument(help="Scores, measured or predicted.")],
    border: Annotated[
        str,
        typer.Option(
            help="Labels by barcode (csv, tsv, obs:COLUMN), or a parquet of tumour, labels or domains."
        ),
    ],
    output: Output,
    inside: Annotated[
        list[str] | None, typer.Option(help="A label inside the border; may be repeated.")
    ] = None,
    width_um: Annotated[
        float | None, typer.Option(help="Width of a step in µm; one pitch if not given.")
    ] = None,
    reach_um: Annotated[float, typer.Option(help="How far from the border, in µm.")] = 500.0,
    seed: Seed = 0,
) -> None:
    """Follow pathways across the border of labelled or predicted tissue, by distance in µm.

    Example: tissuemake pathway-border filtered.h5ad scores.parquet --border labels.tsv --inside tumour -o out.parquet
    """
    from tissuemake.pathways.border import measure_border

    measure_border(
        filtered, scores, border, output, inside=inside or (), width_um=width_um, reach_um=reach_um, seed=seed
    )


@app.command()
def pretrain_quadflow(
    sections: Annotated[list[Path], typer.Argument(help="h5ad files written by `filter`.")],
    embedding: Annotated[list[Path], typer.Option(help="h5ad written by `embed`, one per section.")],
    scores: Annotated[list[Path], typer.Option(help="Table written by `score-pathways`, one per section.")],
    gene_sets: GeneSets,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model.")],
    preset: Annotated[str, typer.Option(help="tiny (CPU), small or base (one large GPU).")] = "tiny",
    flow: Annotated[
        list[str] | None, typer.Option(help="A flow that is on; all four if none is given.")
    ] = None,
    correlation: Annotated[
        float | None, typer.Option(help="Weight of 1 - r in the loss; the preset's if not given.")
    ] = None,
    smoothness: Annotated[
        float | None,
        typer.Option(help="Weight of differences between neighbours; the preset's if not given."),
    ] = None,
    free: Annotated[bool, typer.Option(help="Genes may read the image past the pathways.")] = True,
    checkpoints: Annotated[
        Path | None, typer.Option(help="Where a killed training goes on from; NAME-checkpoints if not given.")
    ] = None,
    orthologs: Orthologs = None,
    gpus: Gpus = 0,
    seed: Seed = 0,
) -> None:
    """Pretrain the pathway transformer: it reads the scores of sections off their H&E tiles.

    Example: tissuemake pretrain-quadflow a.h5ad --embedding a.color.h5ad --scores a.parquet --gene-sets hallmark.gmt
    -o quadflow
    """
    if not len(sections) == len(embedding) == len(scores):
        raise typer.BadParameter(
            f"{len(sections)} sections, {len(embedding)} --embedding and {len(scores)} --scores: one of each is meant."
        )
    from tissuemake.models.quadflow import pretrain

    pretrain.pretrain_quadflow(
        sections,
        embedding,
        scores,
        gene_sets,
        output,
        preset=preset,
        flows=flow,
        correlation=correlation,
        smoothness=smoothness,
        free=free,
        seed=seed,
        gpus=gpus,
        checkpoints=checkpoints or output.with_name(f"{output.name}-checkpoints"),
        orthologs=orthologs,
    )
    typer.echo(f"{output}: use it with tissuemake predict-pathways EMBEDDING.h5ad --model {output}")


@app.command()
def predict_pathways(
    embedding: Annotated[Path, typer.Argument(help="h5ad written by `embed`: H&E is all it takes.")],
    model: Annotated[str, typer.Option(help="Folder of a pretrained model, or a hub id.")],
    output: Output,
    genes: Annotated[Path | None, typer.Option(help="Also write genes through the pathways (h5ad).")] = None,
    attention: Annotated[Path | None, typer.Option(help="Also write who looked at whom (parquet).")] = None,
    filtered: Annotated[
        Path | None, typer.Option(help="h5ad written by `filter`: rows are then its spots, bins or cells.")
    ] = None,
    gpus: Gpus = 0,
) -> None:
    """Read pathways off the H&E tiles of a slide, with or without transcripts.

    Example: tissuemake predict-pathways color.h5ad --model quadflow -o pathways.parquet --attention attention.parquet
    """
    from tissuemake.models.quadflow import predict

    predict.predict_pathways(embedding, model, output, genes, attention, filtered=filtered, gpus=gpus)
