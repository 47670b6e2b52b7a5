"""What can be read off H&E? Every encoder and head beside every baseline: `python tests/benchmarks/histology.py`.

Prints one table and writes every number to results/evaluation/histology.parquet; --write puts the table into
HISTOLOGY.md. What is done is kept in --work: a run that was cut goes on where it stopped. Sections and features of
colour lie there directly, what has a network in it in a folder named as the preset. Delete a folder there to run its
part again (``scores``: all scores; ``embeddings``, ``pretrained``, ``fine_tuned``).
"""

import argparse
import os
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
REPOSITORY = HERE.parents[1]
MARK = "<!-- measured by `python tests/benchmarks/histology.py --write` -->"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="5", help="how many, or which: 0,1")
    parser.add_argument("--tests", default="", help="only these tests, separated by commas")
    parser.add_argument("--methods", default="", help="only these encoders or baselines of expression")
    parser.add_argument("--preset", default="tiny", help="of the pretrained encoder")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share trainings and seeds")
    parser.add_argument(
        "--steps", type=int, default=0, help="trial run: trainings of so many steps, kept and written apart"
    )
    parser.add_argument("--write", action="store_true", help="put the table into HISTOLOGY.md")
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "results" / "benchmark" / "histology")
    parser.add_argument("--output", type=Path, help="default: results/evaluation/histology.parquet")
    given = parser.parse_args()
    if given.steps and (given.write or given.output):
        parser.error("the scores of a trial run (--steps) are written nowhere but into its own folder")
    return given


def write(rows: pd.DataFrame, output: Path) -> pd.DataFrame:
    """Write `rows` as contract EVALUATION, keeping tests of an earlier run that were not run now; returns all."""
    from tissuemake.contracts import EVALUATION, write_table

    table = rows.rename(columns={"problem": "sample"}).assign(
        task="histology", seconds=float("nan"), peak_memory_mb=float("nan")
    )
    if output.is_file():
        before = pd.read_parquet(output)
        same = ["test", "sample", "metric", "method", "seed"]
        fresh = pd.MultiIndex.from_frame(table[same])
        table = pd.concat(
            [before[~pd.MultiIndex.from_frame(before[same]).isin(fresh)], table], ignore_index=True
        )
    write_table(table, output, EVALUATION, {"command": "python tests/benchmarks/histology.py"})
    return table.rename(columns={"sample": "problem"})


def main() -> None:
    """Run, print, write."""
    given = arguments()
    if given.jobs > 1:  # before numpy and torch count the cores
        for name in THREADS:
            os.environ.setdefault(name, str(max(1, (os.cpu_count() or 1) // given.jobs)))
    from benchmarks.histology_encoders import Bench
    from benchmarks.histology_gains import gains, render_gains
    from benchmarks.histology_run import TESTS, run, run_in_processes, start_log
    from benchmarks.histology_table import render, summary
    from tissuemake.files import write_text

    start_log()
    tests = [name for name in given.tests.split(",") if name] or list(TESTS)
    unknown = [name for name in tests if name not in TESTS]
    if unknown:
        sys.exit(f"unknown test {', '.join(unknown)}; choose among {', '.join(TESTS)}")
    seeds = [int(part) for part in given.seeds.split(",")]
    seeds = seeds if "," in given.seeds else list(range(seeds[0]))
    bench = Bench(given.data, given.work, given.preset, steps=given.steps)
    only = [name for name in given.methods.split(",") if name]
    if given.jobs > 1:
        run_in_processes(bench, tests, seeds, only, seeds[0], given.jobs)
    default = REPOSITORY / "results" / "evaluation"
    output = (bench.own if given.steps else default) / "histology.parquet"
    rows = write(run(bench, tests, seeds, only, seeds[0]), given.output or output)
    text = f"{render(summary(rows))}\n\n{render_gains(gains(rows))}"
    if given.steps:
        text = f"TRIAL RUN of {given.steps} steps: these numbers say nothing.\n\n{text}"
    print(text)
    if given.write:
        page = HERE / "HISTOLOGY.md"
        write_text(f"{page.read_text(encoding='utf-8').split(MARK)[0]}{MARK}\n\n{text}\n", page)


if __name__ == "__main__":
    main()
