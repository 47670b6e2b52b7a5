"""Commands around models: pretrain one or import a published one; estimate cell types with it or by a method."""

from pathlib import Path
from typing import Annotated

import typer

from tissuemake.cli.options import Aliases, Gpus, Orthologs, Output, Seed, app
from tissuemake.errors import InputError


@app.command()
def pretrain(
    reference: Annotated[Path, typer.Argument(help="reference.h5ad written by `reference`, or its folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model.")],
    preset: Annotated[str, typer.Option(help="tiny (CPU), small or base (one large GPU).")] = "tiny",
    markers: Annotated[
        Path | None, typer.Option(help="markers.parquet; beside the reference if not given.")
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="Where a killed training goes on from; NAME-checkpoints if not given.")
    ] = None,
    gpus: Gpus = 0,
    seed: Seed = 0,
) -> None:
    """Pretrain a model on a reference, once; it deconvolves samples it has never seen.

    Example: tissuemake pretrain atlas/reference.h5ad -o sparank-atlas --preset tiny
    """
    file = reference / "reference.h5ad" if reference.is_dir() else reference
    table = markers or file.with_name("markers.parquet")
    for path in (file, table):
        if not path.is_file():
            raise InputError(
                "missing_reference_files",
                f"{path} does not exist.",
                "Prepare the atlas first: tissuemake reference ATLAS.h5ad --label-key … --organism … -o FOLDER",
            )
    from tissuemake.models.sparank.pretrain import pretrain_sparank

    kept = checkpoints or output.with_name(f"{output.name}-checkpoints")
    pretrain_sparank(file, table, output, preset=preset, seed=seed, gpus=gpus, checkpoints=kept)
    typer.echo(f"{output}: use it with tissuemake deconvolve SAMPLE.h5ad --model {output}")


@app.command()
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="Published checkpoint (.pth) of iBOT, DINO or SpaFoundation.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model.")],
    part: Annotated[str, typer.Option(help="teacher or student; the teacher if not given.")] = "",
    normalisation: Annotated[
        str, typer.Option(help="How it was fed: imagenet (as iBOT trains), or none (values 0 to 1).")
    ] = "imagenet",
    licence: Annotated[
        str, typer.Option(help="Under which the weights may be used; deliveries show it.")
    ] = "",
) -> None:
    """Convert a published Vision Transformer to a model folder; no code that is in the file is run.

    Example: tissuemake import-checkpoint spafoundation_1m_vitb16.pth -o spafoundation
    """
    from tissuemake.models.spafoundation import published

    if normalisation not in published.NORMALISATIONS:
        raise InputError(
            "bad_value",
            f"--normalisation is '{normalisation}'.",
            f"Choose among {', '.join(published.NORMALISATIONS)}.",
        )
    said = {"licence": licence} if licence else {}
    published.import_checkpoint(file, output, part=part or None, normalisation=normalisation, **said)
    typer.echo(f"{output}: name it in the config (models: spafoundation: weights)")


@app.command()
def deconvolve(
    sample: Annotated[
        Path, typer.Argument(help="h5ad written by `filter`; with --model any with raw counts.")
    ],
    reference: Annotated[
        Path | None,
        typer.Option(help="Folder written by `reference`; with --model, its types are shown to the model."),
    ] = None,
    model: Annotated[str, typer.Option(help="Folder of a pretrained model, or a hub id.")] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Table to write; SAMPLE.METHOD.parquet if not given."),
    ] = None,
    method: Annotated[
        str, typer.Option(help="With --reference: nnls, nnls_rescaled, tangram, cell2location.")
    ] = "nnls",
    attributions: Annotated[
        Path | None, typer.Option(help="With --model: also write the genes that spoke for each type.")
    ] = None,
    embeddings: Annotated[Path | None, typer.Option(help="With --model: embeddings of the tiles.")] = None,
    orthologs: Orthologs = None,
    aliases: Aliases = None,
    gpus: Gpus = 0,
    seed: Seed = 0,
) -> None:
    """Estimate cell types per spot, with a pretrained model or from a reference.

    Example: tissuemake deconvolve filtered.h5ad --model sparank-atlas/

    Example: tissuemake deconvolve filtered.h5ad --reference atlas/ -o nnls.parquet

    Example, the types of another atlas without training: tissuemake deconvolve filtered.h5ad --model sparank-atlas/
    --reference other/
    """
    if not model and reference is None:
        raise InputError(
            "model_or_reference",
            "Neither --model nor --reference is given.",
            "Give --model (a pretrained model), --reference (a folder written by `reference`), or both, to show "
            "the model another atlas.",
        )
    table = output or Path(f"{sample.stem}.{'sparank' if model else method}.parquet")
    if not model:
        from tissuemake import deconvolution

        files = [reference / name for name in ("reference.h5ad", "signatures.parquet", "markers.parquet")]
        deconvolution.deconvolve(method, sample, *files, table, seed=seed, aliases=aliases)
    else:
        from tissuemake.models.sparank.deconvolve import deconvolve_sparank

        names = {"orthologs": orthologs, "aliases": aliases}
        found = {"gpus": gpus, "seed": seed, "embeddings": embeddings}
        shown = reference and reference / "reference.h5ad"
        deconvolve_sparank(sample, model, table, attributions, reference=shown, **found, **names)
    typer.echo(str(table))


@app.command()
def roll_up(
    proportions: Annotated[Path, typer.Argument(help="Table written by `deconvolve`.")],
    level: Annotated[str, typer.Option(help="One of the coarser columns of the reference's label_key.")],
    output: Output,
) -> None:
    """Sum the shares of fine cell types to those of a coarser level.

    Example: tissuemake roll-up nnls.parquet --level cell_type_major -o nnls.major.parquet
    """
    from tissuemake.contracts import PROPORTIONS, read_table, write_table
    from tissuemake.hierarchy import at_level

    rolled = at_level(read_table(proportions, PROPORTIONS), level)
    write_table(rolled, output, PROPORTIONS, rolled.attrs["tissuemake"])
