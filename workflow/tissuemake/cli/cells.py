"""Commands around single cells: label them by a reference, and make of them a test of deconvolution."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from tissuemake.cli.options import Aliases, Output, Seed, app

Prepared = Annotated[Path, typer.Option(help="Folder written by `reference`.")]


@app.command()
def label_cells(
    filtered: Annotated[Path, typer.Argument(help="h5ad of cells or bins, written by `filter`.")],
    reference: Prepared,
    output: Output,
    confidence: Annotated[float, typer.Option(help="Labels of less confidence are unknown.")] = 0.5,
    aliases: Aliases = None,
    seed: Seed = 0,
) -> None:
    """Give every cell one type by the reference's labels, or unknown.

    Example: tissuemake label-cells filtered.h5ad --reference atlas -o cell_types.parquet
    """
    from tissuemake.cell_types import label
    from tissuemake.contracts import CELL_TYPES, read_table

    label.label_cells(
        filtered, output, reference=reference / "reference.h5ad", sure=confidence, aliases=aliases, seed=seed
    )
    counts = read_table(output, CELL_TYPES)["cell_type"].value_counts()
    typer.echo(f"{output}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


@app.command()
def pseudo_spots(
    filtered: Annotated[Path, typer.Argument(help="h5ad of single cells, written by `filter`.")],
    reference: Prepared,
    output: Output,
    truth: Annotated[str, typer.Option(help="Table of each cell's type by barcode, one column a type.")] = "",
    cell_types: Annotated[
        Path | None, typer.Option(help="Table written by `label-cells`, where there is no truth.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="A deconvolution; nnls and nnls_rescaled if none.")
    ] = None,
    model: Annotated[str, typer.Option(help="Pretrained model of sparank, asked as well.")] = "",
    lattice: Annotated[list[str] | None, typer.Option(help="hexagonal (if none) or square.")] = None,
    panel: Annotated[
        list[float] | None, typer.Option(help="Share of the genes that methods see; 1, 0.5, 0.25.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Ask deconvolutions of spots whose cells are known, made of this sample's cells: which to trust here.

    Example: tissuemake pseudo-spots filtered.h5ad --reference atlas --truth types.tsv -o pseudo_spots.parquet

    Example: tissuemake pseudo-spots filtered.h5ad --reference atlas --cell-types cells.parquet -o p.parquet --panel 0.5
    """
    from tissuemake.contracts import EVALUATION, read_table
    from tissuemake.deconvolution import deconvolve
    from tissuemake.evaluation import pseudo_spot_scores as scored
    from tissuemake.evaluation.pseudo_spots import make_pseudo_spots
    from tissuemake.reporting.pseudo_spots import verdicts

    atlas = [reference / name for name in ("reference.h5ad", "signatures.parquet", "markers.parquet")]
    answers, truths = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        for shape in lattice or ["hexagonal"]:
            for share in panel or [1.0, 0.5, 0.25]:
                name = scored.spots_name(shape, share)
                folder = Path(scratch) / name
                spots, truths[name] = folder / "filtered.h5ad", folder / "truth.tsv"
                make_pseudo_spots(
                    filtered,
                    spots,
                    truths[name],
                    truth=truth,
                    cell_types=cell_types,
                    lattice=shape,
                    panel=share,
                    seed=seed,
                )
                answers[name] = {
                    own: folder / f"{own}.parquet" for own in method or ["nnls", "nnls_rescaled"]
                }
                for own, path in answers[name].items():
                    deconvolve(own, spots, *atlas, path, seed=seed)
                if model:
                    answers[name]["sparank"] = folder / "sparank.parquet"
                    _ask_sparank(spots, model, answers[name]["sparank"], seed)
        scored.score_pseudo_spots(
            filtered.parent.name, answers, truths, output, reference=atlas[0], labelled=not truth, seed=seed
        )
    for line in verdicts(read_table(output, EVALUATION)):
        typer.echo(line)


def _ask_sparank(spots: Path, model: str, output: Path, seed: int) -> None:
    from tissuemake.models.sparank.deconvolve import deconvolve_sparank

    deconvolve_sparank(spots, model, output, output.with_name("attributions.parquet"), seed=seed)
