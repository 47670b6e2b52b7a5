"""Commands around a whole run folder: pin the models that it trained."""

from pathlib import Path
from typing import Annotated

import typer

from tissuemake.cli.options import app
from tissuemake.errors import InputError


@app.command()
def pin(
    folder: Annotated[Path, typer.Argument(help="Run folder, or the folder of one model.")],
) -> None:
    """Print the lines of the config that pin the models a run trained: the next runs use them and train nothing.

    Example: tissuemake pin RUN

    Example: tissuemake pin models/sparank-atlas
    """
    from tissuemake.pins import config_lines, model_folders

    found = model_folders(folder)
    if not found:
        raise InputError(
            "no_models",
            f"{folder} holds no trained model (results/models/*/config.json).",
            "Give the folder of a run that trained one, or of a model.",
        )
    typer.echo("\n".join(config_lines(found)))
