"""How much of a run's processor time goes into starting jobs: Snakemake itself, and what each script imports.

    python tests/benchmarks/jobs_startup.py RUN [more for snakemake]

runs (and keeps) whatever is still to do in the run folder RUN and prints a line per script. Libraries that a function
loads when it is called count as imports too.
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


if __name__ == "__main__":
    print(table(run_watched(Path(sys.argv[1]), sys.argv[2:])).to_string())
