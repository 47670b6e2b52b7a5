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
