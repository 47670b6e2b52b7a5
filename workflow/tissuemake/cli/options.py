"""The application that commands register with, and the options they share."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)

Output = Annotated[Path, typer.Option("--output", "-o", help="Where to write.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Gpus = Annotated[int, typer.Option(help="GPUs to use; 0 is the CPU. What is asked for must be there.")]
Orthologs = Annotated[Path | None, typer.Option(help="Table with columns human, mouse.")]
Aliases = Annotated[Path | None, typer.Option(help="Table with columns alias, symbol.")]
