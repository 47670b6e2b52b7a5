"""Commands that bring a single-cell atlas to a sample: prepare it, predict genes from it."""

from pathlib import Path
from typing import Annotated

import typer

from tissuemake.cli.options import Aliases, Gpus, Orthologs, Output, Seed, app
from tissuemake.errors import InputError
from tissuemake.sheets import Reference


@app.command()
def reference(
    atlas: Annotated[Path, typer.Argument(help="h5ad with raw counts, or 10x h5/mtx.")],
    label_key: Annotated[str, typer.Option(help="Column of cell types, or coarse>fine.")],
    organism: Annotated[str, typer.Option(help="human or mouse.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the prepared reference.")],
    labels: Annotated[str, typer.Option(help="Table with the labels, for 10x h5/mtx.")] = "",
    donor_key: Annotated[str, typer.Option(help="Column of donors.")] = "",
    min_cells: Annotated[int, typer.Option(help="Types with fewer cells are left out.")] = 10,
    target: Annotated[str, typer.Option(help="Organism of the samples, if another.")] = "",
    orthologs: Orthologs = None,
) -> None:
    """Prepare a single-cell atlas: counts, signatures, markers.

    Example: tissuemake reference atlas.h5ad --label-key cell_type --organism human -o atlas/
    """
    from tissuemake.reference.atlas import prepare_reference

    row = Reference("reference", str(atlas), label_key, organism, labels, donor_key)
    prepare_reference(
        row,
        output / "reference.h5ad",
        output / "signatures.parquet",
        output / "markers.parquet",
        min_cells=min_cells,
        organism=target or None,
        orthologs=orthologs,
    )


@app.command()
def impute(
    filtered: Annotated[Path, typer.Argument(help="h5ad written by `filter`.")],
    output: Output,
    method: Annotated[str, typer.Option(help="reference, neighbors, or sagefm with --model.")] = "neighbors",
    model: Annotated[str, typer.Option(help="sagefm: folder of a pretrained model, or a hub id.")] = "",
    reference: Annotated[Path | None, typer.Option(help="Folder written by `reference`.")] = None,
    proportions: Annotated[Path | None, typer.Option(help="Table written by `deconvolve`.")] = None,
    held_out_genes: Annotated[int, typer.Option(help="Genes hidden to score the prediction.")] = 200,
    aliases: Aliases = None,
    gpus: Gpus = 0,
    seed: Seed = 0,
) -> None:
    """Predict genes, scored on hidden ones.

    Example: tissuemake impute filtered.h5ad -o neighbors.h5ad

    Example: tissuemake impute filtered.h5ad --method sagefm --model sagefm -o sagefm.h5ad
    """
    if method == "sagefm":
        if not model:
            raise InputError(
                "no_model",
                "--method sagefm needs --model.",
                "Name the folder that `pretrain-sagefm` wrote, or a hub id.",
            )
        from tissuemake.models.sagefm.impute import impute_sagefm

        impute_sagefm(filtered, model, output, seed=seed, held_out_genes=held_out_genes, gpus=gpus)
        return
    from tissuemake import imputation

    imputation.impute(
        method,
        filtered,
        reference / "reference.h5ad" if reference else None,
        reference / "signatures.parquet" if reference else None,
        proportions,
        output,
        seed=seed,
        held_out_genes=held_out_genes,
        aliases=aliases,
    )
