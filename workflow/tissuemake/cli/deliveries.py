"""Commands for whoever hands over or gets a delivery: is it whole."""

from pathlib import Path
from typing import Annotated

import typer

from tissuemake.cli.options import app


@app.command()
def verify(
    deliveries: Annotated[
        list[Path], typer.Argument(help="Delivered folders: results/delivery/SAMPLE, or copies.")
    ],
    inputs: Annotated[
        bool, typer.Option("--inputs", help="Also hash the inputs, where they can be reached from here.")
    ] = False,
    run: Annotated[Path, typer.Option(help="With --inputs: where the workflow ran.")] = Path(),
) -> None:
    """Check deliveries against their manifests: a row per problem, and status 1 if there is any.

    Example: tissuemake verify results/delivery/*
    """
    from tissuemake import files
    from tissuemake.reporting.verify import MANIFEST, verify_delivery

    found = 0
    for folder in deliveries:
        problems = verify_delivery(folder, inputs=inputs, run=run)
        found += len(problems)
        for problem in problems:
            # One line each, whatever a stranger's manifest calls its files.
            typer.echo(
                "\t".join(
                    _printable(part) for part in (str(folder), problem.code, problem.path, problem.message)
                )
            )
        if not problems:
            typer.echo(f"{folder}\tok\tsha256 of its manifest: {files.sha256(folder / MANIFEST)}")
    if found:
        raise typer.Exit(1)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


@app.command()
def serve(
    delivery: Annotated[Path, typer.Argument(help="Delivered folder.")],
    site: Annotated[str, typer.Option(help="The site whose pages may read it.")] = "https://vitessce.io",
    port: Annotated[int, typer.Option(help="Where vitessce.json expects it.")] = 8000,
) -> None:
    """Let Vitessce, in a browser on this machine, look at a delivery; ends with Ctrl-C.

    Example: tissuemake serve results/delivery/demo-visium
    """
    from tissuemake.errors import InputError
    from tissuemake.reporting.serve import delivery_server
    from tissuemake.reporting.vitessce import FILE

    try:
        server = delivery_server(delivery, port, site.rstrip("/"))
    except (OSError, ValueError) as error:
        raise InputError(
            "cannot_serve",
            f"{delivery} cannot be served on port {port}: {error}.",
            "Give a delivered folder, and stop whatever else uses the port.",
        ) from error
    typer.echo(f"Open {site.rstrip('/')}/#?url=http://localhost:{port}/{FILE} ; Ctrl-C ends this.")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


@app.command("compare-decisions")
def compare_decisions(
    first: Annotated[Path, typer.Argument(help="A delivered folder, or its decisions.json.")],
    second: Annotated[Path, typer.Argument(help="Another.")],
) -> None:
    """Print what was decided differently for two samples, a row per decision; status 1 if anything was.

    Example: tissuemake compare-decisions results/delivery/ours theirs/decisions.json
    """
    from tissuemake.reporting.decisions import differences, read_decisions

    rows = differences(read_decisions(first), read_decisions(second))
    for row in rows:
        typer.echo("\t".join(_printable(part) for part in row))
    if rows:
        raise typer.Exit(1)
