"""Does the spatial graph model use space? SAGE-FM beside every baseline: `python tests/benchmarks/spatial_graph.py`.

Prints one table and writes every number, with seconds and peak memory, to results/evaluation/spatial_graph.parquet;
--write puts the table into SPATIAL.md. What is done is kept in --work: a run that was cut goes on where it stopped.
Delete a file in ``scores`` there to ask again, a folder in ``models`` (and the .json beside it) to train again.
"""

import argparse
import os
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
REPOSITORY = HERE.parents[1]
MARK = "<!-- measured by `python tests/benchmarks/spatial_graph.py --write` -->"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="5", help="how many, or which: 0,1")
    parser.add_argument("--tests", default="", help="only these tests, separated by commas")
    parser.add_argument("--methods", default="", help="only these methods, separated by semicolons")
    parser.add_argument("--preset", default="tiny", help="of the pretrained models")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the seeds")
    parser.add_argument(
        "--steps", type=int, default=0, help="trial run: trainings of so many steps, kept and written apart"
    )
    parser.add_argument("--kept", action="store_true", help="show what was measured before, measure nothing")
    parser.add_argument("--write", action="store_true", help="put the table into SPATIAL.md")
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "results" / "benchmark" / "spatial")
    parser.add_argument("--output", type=Path, help="default: results/evaluation/spatial_graph.parquet")
    given = parser.parse_args()
    if given.steps and (given.write or given.output):
        parser.error("the scores of a trial run (--steps) are written nowhere but into its own folder")
    return given


def write(rows: pd.DataFrame, output: Path) -> pd.DataFrame:
    """Write `rows` as contract EVALUATION, keeping rows of an earlier run that were not asked now; returns all."""
    from tissuemake.contracts import EVALUATION, write_table

    table = rows.rename(columns={"problem": "sample"}).assign(task="spatial_graph")
    if output.is_file():
        before = pd.read_parquet(output)
        same = ["test", "sample", "metric", "method", "seed"]
        fresh = pd.MultiIndex.from_frame(table[same])
        stale = pd.MultiIndex.from_frame(before[same]).isin(fresh)
        table = pd.concat([table, before[~stale]], ignore_index=True)
    write_table(table, output, EVALUATION, {"command": "python tests/benchmarks/spatial_graph.py"})
    return table.rename(columns={"sample": "problem"})


def main() -> None:
    """Run, print, write."""
    given = arguments()
    if given.jobs > 1:  # before numpy and torch count the cores
        for name in THREADS:
            os.environ.setdefault(name, str(max(1, (os.cpu_count() or 1) // given.jobs)))
    from benchmarks.spatial_network import Bench
    from benchmarks.spatial_run import TESTS, run, run_in_processes, start_log
    from benchmarks.spatial_table import overview, render, summary
    from tissuemake.files import write_text

    start_log()
    tests = [name for name in given.tests.split(",") if name] or list(TESTS)
    unknown = [name for name in tests if name not in TESTS]
    if unknown:
        sys.exit(f"unknown test {', '.join(unknown)}; choose among {', '.join(TESTS)}")
    seeds = [int(part) for part in given.seeds.split(",")]
    seeds = seeds if "," in given.seeds else list(range(seeds[0]))
    only = [name.strip() for name in given.methods.split(";") if name.strip()]
    bench = Bench(given.data, given.work, given.preset, given.steps)
    if given.jobs > 1 and not given.kept:
        run_in_processes(bench, tests, seeds, only, given.jobs)
    default = bench.own if given.steps else REPOSITORY / "results" / "evaluation"
    output = given.output or default / "spatial_graph.parquet"
    rows = run(bench, tests, seeds, only, measure=not given.kept)
    if rows.empty:
        sys.exit("nothing to show: no such method in these tests, or nothing was measured yet")
    table = summary(write(rows, output))
    text = f"{overview(table)}\n\n{render(table)}"
    if given.steps:
        text = f"TRIAL RUN of {given.steps} steps: these numbers say nothing.\n\n{text}"
    print(text)
    if given.write:
        page = HERE / "SPATIAL.md"
        write_text(f"{page.read_text(encoding='utf-8').split(MARK)[0]}{MARK}\n\n{text}\n", page)


if __name__ == "__main__":
    main()
