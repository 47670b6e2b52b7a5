"""The command of a drop folder: what is new in it becomes rows of a run's sample sheet."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from tissuemake.cli.options import app


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

    result = scan_inbox(inbox, run, settle=settle, dry_run=dry_run)
    for outcome in result:
        if outcome.state == "known":
            continue
        typer.echo(f"{outcome.state.replace('_', ' '):<9} {_below(outcome.path, inbox)}")
        if outcome.state == "taken":
            typer.echo(f"          as {outcome.sample} ({outcome.assay})")
            for name, guess in outcome.proposal.items():
                if guess["value"]:
                    typer.echo(f"          {name} {guess['value']}, {guess['sure']}: {guess['why']}")
        typer.echo(f"          {'' if outcome.state == 'taken' else outcome.code + ': '}{outcome.message}")
        if outcome.remedy:
            typer.echo(f"          remedy: {outcome.remedy}")
    counted = Counter(outcome.state for outcome in result)
    typer.echo(
        f"{counted['taken']} taken, {counted['waiting']} waiting, {counted['left_out']} left out, "
        f"{counted['known']} known already; {result.seconds:.1f} s{' (nothing written)' if dry_run else ''}"
    )
    raise typer.Exit(result.nothing_readable())


def _below(path: str, inbox: Path) -> str:
    whole, root = Path(path), inbox.resolve()
    return str(whole.relative_to(root)) if whole.is_relative_to(root) else path
