"""The workflow's steps for a person without Snakemake: `tissuemake STEP --help` shows an example of each."""

import sys

from tissuemake.cli import cells, deliveries, intake, models, pathways, references, runs, samples, spatial
from tissuemake.cli.options import app
from tissuemake.errors import InputError

__all__ = [
    "cells",
    "deliveries",
    "intake",
    "main",
    "models",
    "pathways",
    "references",
    "runs",
    "samples",
    "spatial",
]


def main() -> None:
    """Run the command line; an error that a person can mend ends with one message and status 1."""
    try:
        app()
    except InputError as error:
        sys.exit(f"error: {error.message}\nremedy: {error.remedy}")
