"""Commands around a whole run folder: what would run and why, and pins of the models that it trained."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

from tissuemake.cli.options import app
from tissuemake.configuration import complete_config
from tissuemake.errors import InputError
from tissuemake.files import read_json
from tissuemake.pins import config_lines, model_folders
from tissuemake.planned import Job, Row, plan_rows, plan_text
from tissuemake.sheets import read_references, read_samples

WORKFLOW = Path(__file__).resolve().parents[2]
PLUGINS = WORKFLOW / "plugins"


@app.command()
def pin(
    folder: Annotated[Path, typer.Argument(help="Run folder, or the folder of one model.")],
) -> None:
    """Print the lines of the config that pin the models a run trained: the next runs use them and train nothing.

    Example: tissuemake pin RUN

    Example: tissuemake pin models/sparank-atlas
    """
    found = model_folders(folder)
    if not found:
        raise InputError(
            "no_models",
            f"{folder} holds no trained model (results/models/*/config.json).",
            "Give the folder of a run that trained one, or of a model.",
        )
    typer.echo("\n".join(config_lines(found)))


@app.command()
def plan(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="After --: more for Snakemake, such as --profile NAME.")
    ] = None,
) -> None:
    """Say what `snakemake` would do in a run folder, by sample and stage, and why; nothing is run.

    Example: tissuemake plan RUN

    Example: tissuemake plan RUN -- --rerun-triggers mtime params input
    """
    jobs, rows, rejected = read_plan(run, arguments or [])
    typer.echo(plan_text(str(run), rows, jobs, rejected))


def read_plan(run: Path, arguments: list[str]) -> tuple[list[Job], dict[str, Row], dict[str, str]]:
    """Return the jobs of a dry run, its rows by sample, and rows of the sheet that were refused, with the reason.

    Every delivery is asked for by name. Which samples pass is known to Snakemake only once all are checked: asked for
    all of them it would tell of checks and nothing else when one sample is new.
    """
    file = run / "config" / "config.yaml"
    if not file.is_file():
        raise InputError(
            "no_run_folder", f"{file} does not exist.", "Give the folder that holds config/config.yaml."
        )
    config = complete_config(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    references = read_references(run / config["references"]).rows
    sheet = read_samples(run / config["samples"], set(references))
    checks = {name: run / "results" / "samples" / name / "check.json" for name in sheet.rows}
    known = {name: failure(path) for name, path in checks.items() if path.is_file()}
    deliveries = [f"results/delivery/{name}/manifest.json" for name in sheet.rows if not known.get(name)]
    jobs = dry_run(run, ["all", *deliveries], arguments)
    rejected = {name: finding["message"] for name, finding in sheet.rejected.items()}
    return jobs, plan_rows(jobs, sheet.rows, known), rejected


def dry_run(run: Path, targets: list[str], arguments: list[str]) -> list[Job]:
    """Return the jobs that Snakemake would run for `targets`, as a plugin of its log tells them.

    Raises
    ------
    InputError
        ``no_plan`` with what Snakemake said.
    """
    above = WORKFLOW.with_name("Snakefile")
    snakefile = above if above.is_file() else WORKFLOW / "Snakefile"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--directory", str(run)]
    command += ["--dry-run", "--cores", "1", "--logger", "plan", *arguments, "--", *targets]
    path = os.pathsep.join(filter(None, [str(PLUGINS), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False
    )
    if done.returncode:
        raise InputError(
            "no_plan", f"{run} cannot be planned: {done.stderr.strip()[-2000:]}", "Mend that and plan again."
        )
    lines = (json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"rule"'))
    return [job for job in (Job(**line) for line in lines) if job.rule != "all"]


def failure(check: Path) -> str:
    """Why a sample failed its check, and what to do; nothing for one that passed."""
    verdict = read_json(check)
    if verdict.get("status") != "fail":
        return ""
    findings = [found for found in verdict.get("findings", []) if found.get("level") == "fail"]
    return " ".join(f"{found['message']} Remedy: {found['remedy']}" for found in findings)
