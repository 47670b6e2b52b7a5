"""Runs of which Snakemake is told that much is done: what a change asks for, without computing anything."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import yaml

from run_folder import make_run_folder, snakemake
from tissuemake.sheets import Reference, Sample
from whole_folders import atlas, visium

PREPARED = ("check.json", "ingested.h5ad", "filtered.h5ad", "quality.png")
REFERENCE = ("check.json", "reference.h5ad", "signatures.parquet", "markers.parquet")


def sheet(row_type: type, rows: list[dict]) -> str:
    return pd.DataFrame(rows, columns=list(row_type.__dataclass_fields__)).to_csv(sep="\t", index=False)


def made_up_run(folder: Path, config: dict, made: Iterable[str], done: Iterable[str]) -> Path:
    """A run of two samples, ``first`` and ``taught``, the second marked for pretraining.

    Both are checked and filtered, and their reference ``atlas`` is prepared.

    Parameters
    ----------
    made
        What else lies in ``results``.
    done
        Those of its files that Snakemake takes for finished, with all that they are made of.
    """
    row = visium(folder / "outs")
    samples = [
        {**row, "sample": "first", "reference": "atlas"},
        {**row, "sample": "taught", "reference": "atlas", "pretrain": "yes"},
    ]
    run = make_run_folder(folder / "run", sheet(Sample, samples), sheet(Reference, [atlas(folder / "atlas")]))
    configure(run, config)
    prepared = [f"samples/{sample}/{name}" for sample in ("first", "taught") for name in PREPARED]
    for name in (*prepared, *(f"references/atlas/{name}" for name in REFERENCE), *made):
        (run / "results" / name).parent.mkdir(parents=True, exist_ok=True)
        is_check = name.endswith("check.json")
        (run / "results" / name).write_text('{"status": "pass", "findings": []}' if is_check else "made up")
    (run / "results" / "check.json").write_text('{"passed": ["first", "taught"]}')
    (run / "results" / "cohort.json").write_text('{"passed": ["taught"]}')
    done = ["results/cohort.json", "results/samples/taught/filtered.h5ad", *done]
    touched = snakemake(run, "--touch", "--forceall", *done)
    assert touched.returncode == 0, touched.stderr[-6000:]
    return run


def configure(run: Path, config: dict, **changes: dict) -> None:
    """Write a config with other keys in its parts."""
    parts = {part: config.get(part, {}) | changes.get(part, {}) for part in {*config, *changes}}
    (run / "config" / "config.yaml").write_text(yaml.safe_dump(parts))


def add(run: Path, sample: str, reference: str) -> None:
    """Add a sample like ``first``, which nothing was done for."""
    path = run / "config" / "samples.tsv"
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    row = table.iloc[[0]].assign(sample=sample, reference=reference)
    pd.concat([table, row]).to_csv(path, sep="\t", index=False)


def plan(run: Path, *targets: str) -> dict[str, str]:
    """The jobs of a dry run: ``rule wildcards`` and all that Snakemake says of the job."""
    done = snakemake(run, "--dry-run", *targets)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    jobs = re.split(r"\n(?=(?:local)?(?:rule|checkpoint) \w+:)", done.stdout + done.stderr)[1:]
    names = (
        re.findall(r"(?:^(?:localrule|rule|checkpoint) |\n    wildcards: )([^:\n]+)", job) for job in jobs
    )
    return {" ".join(name): job for name, job in zip(names, jobs, strict=True)}


def finish(run: Path, *targets: str) -> None:
    """Make up all files that `targets` still ask for, and have Snakemake take them for done."""
    for job in plan(run, *targets).values():
        for name in re.findall(r"\n    output: (.+)", job):
            for path in (run / file for file in name.split(", ")):
                (path.parent if path.suffix else path).mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    path.write_text("made up")
    touched = snakemake(run, "--touch", "--forceall", *targets)
    assert touched.returncode == 0, touched.stderr[-6000:]


@contextmanager
def as_it_was(run: Path) -> Iterator[None]:
    """Undo, at the end of the block, what was done to the sheets and the config of a run."""
    kept = {path: path.read_text() for path in (run / "config").iterdir()}
    yield
    for path, text in kept.items():
        path.write_text(text)


def change(run: Path, sample: str, **cells: str) -> None:
    """Write `cells` into the row of a sample."""
    path = run / "config" / "samples.tsv"
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    table.loc[table["sample"] == sample, list(cells)] = list(cells.values())
    table.to_csv(path, sep="\t", index=False)


def trained(jobs: dict[str, str]) -> list[str]:
    """Jobs that train or fit something, of those that `plan` returned."""
    return [job for job in jobs if "pretrain" in job or "fit_" in job or "collect_cohort" in job]
