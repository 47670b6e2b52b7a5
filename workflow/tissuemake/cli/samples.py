"""Commands that need a sample alone: from the vendor folder to its page."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from tissuemake.cli.options import Gpus, Output, Seed, app
from tissuemake.errors import InputError
from tissuemake.files import read_json
from tissuemake.sheets import Sample


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="New folder for the simulated tissue.")],
    spots: Annotated[int, typer.Option(help="Visium spots under the tissue.")] = 300,
    zones: Annotated[str, typer.Option(help="layered, glandular or infiltrated.")] = "layered",
    programmes: Annotated[int, typer.Option(help="Planted pathway programmes; 8 show every kind.")] = 0,
    seed: Seed = 0,
) -> None:
    """Write a tissue with known truth as vendor folders.

    Example: tissuemake simulate tissue --spots 300

    Example: tissuemake simulate tissue --zones infiltrated --programmes 8
    """
    from tissuemake.simulate.vendor_folders import simulate_tissue

    simulate_tissue(folder, seed=seed, spots=spots, zones=zones, programmes=programmes)
    typer.echo(f"{folder}: visium, visium_hd, xenium, atlas.h5ad, truth")


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Vendor folder or file.")],
    assay: Annotated[str, typer.Option(help="Assay; guessed from the names when not given.")] = "",
    image: Annotated[str, typer.Option(help="Full-resolution H&E image.")] = "",
    mpp: Annotated[float | None, typer.Option(help="µm per pixel of the image.")] = None,
    alignment: Annotated[str, typer.Option(help="Xenium: csv with the alignment matrix.")] = "",
    spots: Annotated[str, typer.Option(help="ST: spot file.")] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write check.json.")] = None,
) -> None:
    """Judge a vendor folder before work is spent on it; status 1 when it cannot be used.

    Example: tissuemake check outs/
    """
    row = _row(folder, assay, image=image, mpp=mpp, alignment=alignment, spots=spots)
    from tissuemake.quality.check import check_sample

    with tempfile.TemporaryDirectory() as scratch:
        target = output or Path(scratch) / "check.json"
        check_sample(row, target)
        verdict = read_json(target)
    typer.echo(f"{verdict['status'].upper()} {folder} ({row.assay})")
    for finding in verdict["findings"]:
        typer.echo(f"  {finding['level']:<5}{finding['code']}: {finding['message']}")
        if finding["remedy"]:
            typer.echo(f"       remedy: {finding['remedy']}")
    raise typer.Exit(verdict["status"] == "fail")


@app.command()
def fetch(
    source: Annotated[str, typer.Argument(help="URL, or several separated by blanks; #sha256=… pins one.")],
    receipt: Annotated[Path, typer.Argument(help="Receipt to write; files land beside it.")],
) -> None:
    """Fetch what a sheet names by URL: retried, resumed, checked.

    Example: tissuemake fetch https://example.org/atlas.h5ad downloads/atlas.json
    """
    from tissuemake.fetch import fetch_source

    fetch_source(source, receipt)
    content = read_json(receipt)
    if content["status"] != "ok":
        raise InputError("download_failed", content["message"], content["remedy"])


@app.command()
def ingest(
    folder: Annotated[Path, typer.Argument(help="Vendor folder or file.")],
    output: Output,
    sample: Annotated[str, typer.Option(help="Name of the sample.")] = "sample",
    assay: Annotated[str, typer.Option(help="Assay; guessed from the names when not given.")] = "",
    image: Annotated[str, typer.Option(help="Full-resolution H&E image.")] = "",
    mpp: Annotated[float | None, typer.Option(help="µm per pixel of the image.")] = None,
    alignment: Annotated[str, typer.Option(help="Xenium: csv with the alignment matrix.")] = "",
    spots: Annotated[str, typer.Option(help="ST: spot file.")] = "",
    bin_um: Annotated[str, typer.Option(help="Visium HD: 2, 8, 16 or segmented.")] = "8",
) -> None:
    """Read a vendor folder into one AnnData with image, pixels and µm.

    Example: tissuemake ingest outs/ -o ingested.h5ad
    """
    from tissuemake.ingest import ingest_sample

    extra = {"image": image, "mpp": mpp, "alignment": alignment, "spots": spots, "bin_um": bin_um}
    ingest_sample(_row(folder, assay, sample=sample, **extra), output)


@app.command("filter")
def filter_(
    ingested: Annotated[Path, typer.Argument(help="h5ad written by `ingest`.")],
    output: Output,
    figure: Annotated[Path | None, typer.Option(help="Also draw the quality over the tissue (png).")] = None,
    min_counts: Annotated[float | None, typer.Option(help="Fewest counts; robust when not given.")] = None,
    min_genes: Annotated[float | None, typer.Option(help="Fewest genes; robust when not given.")] = None,
    max_pct_mt: Annotated[float | None, typer.Option(help="Largest mitochondrial share, percent.")] = None,
    max_counts: Annotated[float | None, typer.Option(help="Most counts; no limit when not given.")] = None,
    local_outlier_mads: Annotated[float | None, typer.Option(help="Unlike neighbours; 0: off.")] = None,
) -> None:
    """Drop spots that cannot be trusted, each with its reason, and normalise.

    Example: tissuemake filter ingested.h5ad -o filtered.h5ad --figure quality.png
    """
    from tissuemake.quality.filter import filter_spots

    given = {"min_counts": min_counts, "min_genes": min_genes, "max_pct_mt": max_pct_mt}
    given |= {"max_counts": max_counts, "local_outlier_mads": local_outlier_mads}
    filter_spots(ingested, output, figure, overrides=given)


@app.command()
def domains(
    filtered: Annotated[Path, typer.Argument(help="h5ad written by `filter`.")],
    output: Output,
    resolution: Annotated[float | None, typer.Option(help="Leiden resolution.")] = None,
    embedding: Annotated[Path | None, typer.Option(help="h5ad written by `embed-spots`.")] = None,
    number: Annotated[
        int | None, typer.Option(help="Domains in that embedding; as many as it shows if not given.", min=1)
    ] = None,
    seed: Seed = 0,
) -> None:
    """Find tissue domains.

    Example: tissuemake domains filtered.h5ad -o domains.parquet --embedding spots.h5ad --number 7
    """
    from tissuemake.domains.cluster import cluster_domains

    embedded = {"sagefm": embedding} if embedding else {}
    cluster_domains(
        filtered, output, resolution=resolution, seed=seed, spot_embeddings=embedded, domains=number
    )


@app.command()
def tiles(
    ingested: Annotated[Path, typer.Argument(help="h5ad written by `ingest`.")],
    output: Output,
    size_um: Annotated[float, typer.Option(help="Edge of a tile in µm.")] = 112.0,
    size_px: Annotated[int, typer.Option(help="Edge of a tile in pixels.")] = 224,
    overlap: Annotated[
        float, typer.Option(help="Share of its edge by which a grid tile lies over the next one, 0 to 0.9.")
    ] = 0.0,
    stain_normalization: Annotated[
        str,
        typer.Option(help="macenko or reinhard, fitted once on the slide; colours as scanned if not given."),
    ] = "",
    processes: Annotated[int, typer.Option(help="How many cut at once; the tiles are the same.")] = 1,
) -> None:
    """Cut H&E tiles of a fixed physical size.

    Example: tissuemake tiles ingested.h5ad -o tiles.arrow

    Example: tissuemake tiles ingested.h5ad -o tiles.arrow --overlap 0.75 --stain-normalization macenko --processes 8
    """
    from tissuemake.histology.tiles import tile_slide

    tile_slide(
        ingested,
        output,
        tile_um=size_um,
        tile_px=size_px,
        overlap=overlap,
        stain_normalization=stain_normalization,
        processes=processes,
    )


@app.command()
def embed(
    tiles: Annotated[Path, typer.Argument(help="File written by `tiles`.")],
    output: Output,
    encoder: Annotated[
        str, typer.Option(help="A name that `encoders` lists, or spafoundation for a model of your own.")
    ] = "color",
    weights: Annotated[
        str, typer.Option(help="Folder, file or hub id of the weights; from the encoder's hub if not given.")
    ] = "",
    gpus: Gpus = 0,
) -> None:
    """Encode H&E tiles as vectors.

    Example: tissuemake embed tiles.arrow -o color.h5ad

    Example: tissuemake embed tiles.arrow -o phikon.h5ad --encoder phikon --weights downloads/phikon
    """
    if encoder == "spafoundation":
        if not weights:
            raise InputError(
                "weights_needed",
                "--encoder spafoundation needs --weights, the model that encodes.",
                "Give its folder or hub id.",
            )
        from tissuemake.models.spafoundation.encode import embed_spafoundation

        embed_spafoundation(tiles, weights, output, gpus=gpus)
    else:
        from tissuemake.histology.encoders import embed_tiles

        embed_tiles(tiles, output, encoder=encoder, weights=weights or None, gpus=gpus)


@app.command()
def encoders() -> None:
    """List the tile encoders: features, whether they may be used commercially, access, licence, hub.

    Example: tissuemake encoders | grep open
    """
    from tissuemake.histology.published_encoders import ENCODERS

    for name, entry in ENCODERS.items():
        use = "commercial" if entry.commercial else "non-commercial"
        typer.echo(
            f"{name:<12}{entry.features:>5}  {use:<15}{entry.access:<9} {entry.licence}  {entry.hub}".rstrip()
        )


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="results/samples/NAME of a run.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Page to write.")] = None,
) -> None:
    """Write a sample's page again from the files of its folder; beside it decisions.json and methods.md.

    Example: tissuemake report results/samples/demo-visium
    """
    from tissuemake.reporting.sample_page import report_sample

    statistics = ("moran", "neighborhood_enrichment", "ligand_receptor")
    tiles = folder / "tiles.arrow"
    page = output or folder / "report.html"
    report_sample(
        folder.name,
        check=folder / "check.json",
        filtered=folder / "filtered.h5ad",
        proportions={path.stem: path for path in sorted(folder.glob("proportions/*.parquet"))},
        imputed={path.stem: path for path in sorted(folder.glob("imputed/*.h5ad"))},
        domains=folder / "domains.parquet",
        statistics={name: folder / "statistics" / f"{name}.parquet" for name in statistics},
        evaluation=folder / "evaluation.parquet",
        qc_figure=folder / "quality.png",
        tiles=tiles if tiles.is_file() else None,
        embeddings={path.stem: path for path in sorted(folder.glob("embeddings/*.h5ad"))},
        tumor={path.stem: path for path in sorted(folder.glob("tumor/*.parquet"))},
        highres={path.stem: path for path in sorted(folder.glob("highres/*.h5ad"))},
        **{
            name: {path.stem: path for path in sorted(folder.glob(f"{name}/*.parquet"))}
            for name in ("pathways", "borders", "attention")
        },
        row={"sample": folder.name},
        output=page,
        decisions=page.with_name("decisions.json"),
        methods_text=page.with_name("methods.md"),
    )


def _row(folder: Path, assay: str, sample: str = "sample", **columns: object) -> Sample:
    from tissuemake.ingest.guess import guess_assay

    if not folder.exists():
        raise InputError("missing_path", f"{folder} does not exist.", "Correct the path.")
    return Sample(sample, assay or guess_assay(folder), str(folder), **columns)
