"""How much of a run's processor time goes into starting jobs: Snakemake itself, and what each script imports.

    python tests/benchmarks/jobs_startup.py RUN [more for snakemake]

runs (and keeps) whatever is still to do in the run folder RUN and prints a line per script. Libraries that a function
loads when it is called count as imports too. The table is kept as RUN/startup.tsv, and

    python tests/benchmarks/jobs_startup.py --further ONE TWO

prints what the samples that TWO has beyond ONE added to it: what every further sample costs.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[2]
HOOK = Path(__file__).with_name("startup")
KEPT = "startup.tsv"


def run_watched(run: Path, arguments: list[str]) -> pd.DataFrame:
    """Processor seconds of every Python process of a run: columns program, imports, all."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder, "lines")
        path = os.pathsep.join(filter(None, [str(HOOK), os.environ.get("PYTHONPATH", "")]))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--directory", str(run), "--cores", "1", "--resources", "gpu=0", *arguments]
        watched = {**os.environ, "PYTHONPATH": path, "IMPORT_TIMES": str(lines)}
        subprocess.run(command, env=watched, check=True)
        return pd.DataFrame(json.loads(line) for line in lines.read_text().splitlines())


def table(found: pd.DataFrame) -> pd.DataFrame:
    """Sum the processes of each script; the last line is the whole run, all of Snakemake counted as start-up."""
    found = found.copy()
    # Snakemake copies a script to tmpXXXX.NAME.py before it runs it.
    is_job = found["program"].str.match(r"tmp\w+\.\w+\.py$")
    found["program"] = found["program"].str.extract(r"\.(\w+)\.py$")[0].where(is_job, "snakemake")
    found.loc[~is_job, "imports"] = found.loc[~is_job, "all"]
    rows = found.groupby("program").agg(
        jobs=("all", "size"), imports=("imports", "sum"), seconds=("all", "sum")
    )
    rows = rows.sort_values("seconds", ascending=False)
    rows.loc["whole run"] = rows.sum()
    rows["share"] = rows["imports"] / rows["seconds"]
    return rows.astype({"jobs": int}).round({"imports": 1, "seconds": 1, "share": 2})


def further(one: pd.DataFrame, two: pd.DataFrame) -> pd.DataFrame:
    """What the second of two runs had beyond the first, script by script; both as from `table`."""
    rows = two.drop(columns="share").sub(one.drop(columns="share"), fill_value=0)
    rows = rows[rows["seconds"] != 0].sort_values("seconds")
    rows["share"] = (rows["imports"] / rows["seconds"]).round(2)
    return rows.astype({"jobs": int}).round({"imports": 1, "seconds": 1})


def kept(run: Path) -> pd.DataFrame:
    """The table of a run that was measured."""
    return pd.read_csv(run / KEPT, sep="\t", index_col=0)


def main(arguments: list[str]) -> None:
    """Measure a run, or compare two."""
    if arguments[0] == "--further":
        rows = further(*(kept(Path(run)) for run in arguments[1:3]))
    else:
        rows = table(run_watched(Path(arguments[0]), arguments[1:]))
        rows.to_csv(Path(arguments[0]) / KEPT, sep="\t")
    print(rows.to_markdown())


if __name__ == "__main__":
    main(sys.argv[1:])
