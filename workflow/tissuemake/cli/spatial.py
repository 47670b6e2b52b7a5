"""Commands around the spatial graph model: pretrain it, turn spots into numbers, learn labels, ask what ligands do."""

from pathlib import Path
from typing import Annotated

import typer

from tissuemake.cli.options import Gpus, Output, Seed, app

Model = Annotated[str, typer.Option(help="Folder of a pretrained model, or a hub id.")]


@app.command()
def pretrain_sagefm(
    sections: Annotated[list[Path], typer.Argument(help="h5ad files written by `filter`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model.")],
    preset: Annotated[str, typer.Option(help="tiny (CPU), small or base (one large GPU).")] = "tiny",
    graph: Annotated[str, typer.Option(help="rings, or clique for the published recipe.")] = "rings",
    checkpoints: Annotated[
        Path | None, typer.Option(help="Where a killed training goes on from; NAME-checkpoints if not given.")
    ] = None,
    gpus: Gpus = 0,
    seed: Seed = 0,
) -> None:
    """Pretrain the spatial graph model on sections; it predicts hidden genes of others.

    Example: tissuemake pretrain-sagefm a/filtered.h5ad b/filtered.h5ad -o sagefm --preset tiny
    """
    from tissuemake.models.sagefm import pretrain

    kept = checkpoints or output.with_name(f"{output.name}-checkpoints")
    pretrain.pretrain_sagefm(
        sections, output, preset=preset, graph=graph, seed=seed, gpus=gpus, checkpoints=kept
    )
    typer.echo(f"{output}: use it with tissuemake impute SAMPLE.h5ad --method sagefm --model {output}")


@app.command()
def embed_spots(
    filtered: Annotated[Path, typer.Argument(help="h5ad written by `filter`.")],
    model: Model,
    output: Output,
    gpus: Gpus = 0,
) -> None:
    """Turn every spot and what lies around it into numbers.

    Example: tissuemake embed-spots filtered.h5ad --model sagefm -o spots.h5ad
    """
    from tissuemake.models.sagefm.encode import embed_sagefm

    embed_sagefm(filtered, model, output, gpus=gpus)


@app.command()
def fit_annotation(
    sections: Annotated[
        list[Path], typer.Argument(help="Labelled sections: h5ad files written by `filter`.")
    ],
    embedding: Annotated[list[Path], typer.Option(help="h5ad written by `embed-spots`, one per section.")],
    labels: Annotated[list[str], typer.Option(help="Table of labels by barcode, one per section.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model.")],
    ignore: Annotated[list[str] | None, typer.Option(help="A label that is not learnt.")] = None,
    seed: Seed = 0,
) -> None:
    """Learn labels from a few labelled sections; embeddings and labels in the order of the sections.

    Example: tissuemake fit-annotation a.h5ad --embedding a.spots.h5ad --labels a.tsv -o labels
    """
    if not len(sections) == len(embedding) == len(labels):
        raise typer.BadParameter(
            f"{len(sections)} sections, {len(embedding)} --embedding and {len(labels)} --labels: one of each is meant."
        )
    from tissuemake.models.sagefm import annotate

    cohort = list(zip(sections, embedding, labels, strict=True))
    annotate.fit_annotation(cohort, output, ignored_labels=ignore or (), seed=seed)
    typer.echo(f"{output}: use it with tissuemake annotate-spots SAMPLE.h5ad SPOTS.h5ad --model {output}")


@app.command()
def annotate_spots(
    filtered: Annotated[Path, typer.Argument(help="h5ad written by `filter`.")],
    embedding: Annotated[Path, typer.Argument(help="h5ad written by `embed-spots`.")],
    model: Annotated[Path, typer.Option(help="Folder written by `fit-annotation`.")],
    output: Output,
) -> None:
    """Give every spot its most probable label.

    Example: tissuemake annotate-spots filtered.h5ad spots.h5ad --model labels -o annotation.parquet
    """
    from tissuemake.models.sagefm import annotate

    annotate.annotate_spots(filtered, embedding, model, output)


@app.command()
def perturb_spots(
    filtered: Annotated[Path, typer.Argument(help="h5ad written by `filter`.")],
    model: Model,
    output: Output,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="Table with columns ligand, receptor and perhaps target; liana's pairs if not given."
        ),
    ] = None,
    gpus: Gpus = 0,
    seed: Seed = 0,
) -> None:
    """Ask what a ligand around a spot does to its target, in the data and in the model.

    Example: tissuemake perturb-spots filtered.h5ad --model sagefm --pairs pairs.tsv -o perturbation.parquet
    """
    from tissuemake.contracts import PERTURBATION, read_table
    from tissuemake.models.sagefm import perturb

    perturb.perturb_spots(filtered, model, output, pairs=pairs, seed=seed, gpus=gpus)
    table = read_table(output, PERTURBATION)
    for said in table.attrs["tissuemake"].get("findings", []):
        typer.echo(f"{said['level']} {said['code']}: {said['message']}")
    typer.echo(
        f"{output}: {len(table)} pairs, {int((table['pvalue_fdr'] < 0.05).sum())} below an FDR of 0.05"
    )
