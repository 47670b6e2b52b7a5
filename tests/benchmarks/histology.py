"""What can be read off H&E? Every encoder and head beside every baseline: `python tests/benchmarks/histology.py`.

Prints one table and writes every number to results/evaluation/histology.parquet; --write puts the table into
HISTOLOGY.md. What is done is kept in --work: a run that was cut goes on where it stopped. Delete a folder there to
run its part again (``scores``: all scores; ``embeddings``: all encoders; ``pretrained``: all trainings).
"""

import argparse
import logging
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benchmarks import histology_expression as expression  # noqa: E402
from benchmarks.histology_encoders import SEEDED, Bench  # noqa: E402
from benchmarks.histology_rows import COLUMNS, as_table  # noqa: E402
from benchmarks.histology_sections import REAL, simulated_problem  # noqa: E402
from benchmarks.histology_table import render, summary  # noqa: E402
from tissuemake.contracts import EVALUATION, write_table  # noqa: E402
from tissuemake.files import atomic, write_text  # noqa: E402

log = logging.getLogger("benchmark")
MARK = "<!-- measured by `python tests/benchmarks/histology.py --write` -->"
REPOSITORY = HERE.parents[1]
# Tests with a module of their own: `rows(bench, seed)` yields histology_rows.Row.
MODULES = {
    "tumour": "benchmarks.histology_tumor",
    "between spots": "benchmarks.histology_highres",
    "learning curve": "benchmarks.histology_curve",
}
TESTS = ("expression", "simulated expression", *MODULES)


def kept(path: Path, make) -> pd.DataFrame:
    """The table at `path`, or what `make` gives, written there."""
    if not path.is_file():
        started = time.perf_counter()
        table = make()
        with atomic(path) as partial:
            table.to_parquet(partial)
        log.info("%s: %.0f s", path.stem, time.perf_counter() - started)
    return pd.read_parquet(path)


def run_expression(
    bench: Bench, seeds: list[int], only: list[str], simulated: bool
) -> Iterator[pd.DataFrame]:
    """Scores of all methods; those without chance in them are asked once on real sections."""
    for seed in seeds:
        for problem in [simulated_problem(seed)] if simulated else REAL:
            asked = None
            for method in expression.methods():
                if only and method.split(", ")[0] not in only:
                    continue
                if seed > seeds[0] and not simulated and not any(name in method for name in SEEDED):
                    continue
                path = bench.work / "scores" / f"{problem.name} {method} {seed}.parquet"
                if asked is None and not path.is_file():
                    asked = expression.ask(bench, problem)

                def make(problem=problem, method=method, seed=seed, asked=asked):
                    return as_table(expression.score(bench, problem, asked, method, seed))

                yield kept(path, make)


def run(bench: Bench, tests: list[str], seeds: list[int], only: list[str]) -> pd.DataFrame:
    """All rows."""
    done = []
    for test in tests:
        if test in MODULES:
            module = import_module(MODULES[test])
            for seed in seeds:
                path = bench.work / "scores" / f"{test} {seed}.parquet"
                done.append(kept(path, lambda module=module, seed=seed: as_table(module.rows(bench, seed))))
        else:
            done += run_expression(bench, seeds, only, test == "simulated expression")
    return pd.concat(done, ignore_index=True)[COLUMNS]


def write(rows: pd.DataFrame, output: Path) -> pd.DataFrame:
    """Write `rows` as contract EVALUATION, keeping tests of an earlier run that were not run now; returns all."""
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="5", help="how many, or which: 0,1")
    parser.add_argument("--tests", default=",".join(TESTS))
    parser.add_argument("--methods", default="", help="only these encoders or baselines, separated by commas")
    parser.add_argument("--preset", default="tiny", help="of the pretrained encoder")
    parser.add_argument("--write", action="store_true", help="put the table into HISTOLOGY.md")
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "results" / "benchmark" / "histology")
    parser.add_argument(
        "--output", type=Path, default=REPOSITORY / "results" / "evaluation" / "histology.parquet"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)
    tests = [name for name in arguments.tests.split(",") if name]
    unknown = [name for name in tests if name not in TESTS]
    if unknown:
        parser.error(f"unknown test {', '.join(unknown)}; choose among {', '.join(TESTS)}")
    seeds = [int(part) for part in arguments.seeds.split(",")]
    seeds = seeds if "," in arguments.seeds else list(range(seeds[0]))
    bench = Bench(arguments.data, arguments.work, arguments.preset)
    only = [name for name in arguments.methods.split(",") if name]
    text = render(summary(write(run(bench, tests, seeds, only), arguments.output)))
    print(text)
    if arguments.write:
        page = HERE / "HISTOLOGY.md"
        write_text(f"{page.read_text(encoding='utf-8').split(MARK)[0]}{MARK}\n\n{text}\n", page)


if __name__ == "__main__":
    main()
