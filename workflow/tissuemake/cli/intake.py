"""The command of a drop folder: what is new in it becomes rows of a run's sample sheet."""

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tissuemake.cli.options import app

if TYPE_CHECKING:
    from tissuemake.intake.outcomes import Outcome


@app.command()
def scan(
    inbox: Annotated[Path, typer.Argument(help="Folder into which instrument runs are dropped; only read.")],
    run: Annotated[Path, typer.Option(help="Run folder whose sample sheet gets the new rows.")],
    settle: Annotated[float, typer.Option(help="Seconds without change before a sample is taken.")] = 300.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Look, write nothing.")] = False,
) -> None:
    """Add what is new and whole in a drop folder to the sample sheet, and say why the rest was not.

    Rows that stand in the sheet are never rewritten, and no sample is taken twice. Status 1 when nothing in the
    folder could be read.

    Example: tissuemake scan /data/inbox --run /data/run --dry-run
    """
    from tissuemake.intake import scan_inbox

    warnings.simplefilter(
        "ignore", UserWarning
    )  # anndata's about gene names that repeat; they are made unique
    result = scan_inbox(inbox, run, settle=settle, dry_run=dry_run)
    for outcome in result:
        if outcome.code != "known":
            for line in _lines(outcome, inbox):
                typer.echo(line)
    counted = Counter(outcome.state for outcome in result)
    typer.echo(
        f"{counted['taken']} taken, {counted['waiting']} waiting, {counted['left_out']} left out, "
        f"{counted['known']} known already; {result.seconds:.1f} s{' (nothing written)' if dry_run else ''}"
    )
    raise typer.Exit(result.nothing_readable())


def _lines(outcome: "Outcome", inbox: Path) -> Iterator[str]:
    yield f"{outcome.state.replace('_', ' '):<9} {_below(outcome.path, inbox)}"
    if outcome.state == "taken":
        yield f"{'':<10}as {outcome.sample} ({outcome.assay})"
        for column in ("spots", "image", "alignment"):
            if outcome.row[column]:
                yield f"{'':<10}{column} {_below(outcome.row[column], inbox)}"
        for column, guess in outcome.proposal.items():
            told = f"{guess['value']}, {guess['sure']}: " if guess["value"] else "not told: "
            yield f"{'':<10}{column} {told}{guess['why']}"
    if outcome.message:
        yield f"{'':<10}{'' if outcome.state == 'taken' else outcome.code + ': '}{outcome.message}"
    if outcome.remedy:
        yield f"{'':<10}remedy: {outcome.remedy}"


def _below(path: str, inbox: Path) -> str:
    whole, root = Path(path), inbox.resolve()
    return str(whole.relative_to(root)) if whole.is_relative_to(root) else path
