"""What benchmarks with kept scores share: their command line, the loop over tests and seeds, the file and the page."""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby, product
from multiprocessing import get_context
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # before threads are counted (`parse`) nothing may load numpy
    import pandas as pd

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
SAME = ["test", "sample", "metric", "method", "seed"]


@dataclass(frozen=True)
class Bench:
    """Where data and finished parts are.

    Attributes
    ----------
    work
        What no network has touched is kept here: sections, ceilings.
    steps
        Train for so many steps only, to see that all runs; 0: as the preset says.
    """

    data: Path
    work: Path
    preset: str = "tiny"
    steps: int = 0

    @property
    def own(self) -> Path:
        """Where models of this preset and all scores are kept; those of a trial run apart."""
        return own_folder(self.work, self.preset, self.steps)


def own_folder(work: Path, preset: str, steps: int) -> Path:
    """Of a preset; of a trial run another."""
    return work / (f"{preset}-trial-of-{steps}-steps" if steps else preset)


@dataclass(frozen=True)
class Script:
    """A benchmark by its names.

    Attributes
    ----------
    name
        Of the script, of the file of its scores, and of the task in them.
    page
        Where its table goes, beside the script.
    work
        Name of the folder of what is kept.
    """

    name: str
    page: str
    work: str

    @property
    def command(self) -> str:
        """As a user types it."""
        return f"python tests/benchmarks/{self.name}.py"

    @property
    def mark(self) -> str:
        """Line of the page behind which the table stands."""
        return f"<!-- measured by `{self.command} --write` -->"


def command_line(script: Script, description: str, separator: str = ";") -> argparse.ArgumentParser:
    """The options that all have; methods are separated by `separator`, as some have commas in their names."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="5", help="how many, or which: 0,1")
    parser.add_argument("--tests", default="", help="only these tests, separated by commas")
    parser.add_argument("--methods", default="", help=f"only these methods, separated by '{separator}'")
    parser.add_argument("--preset", default="tiny", help="of the pretrained models")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share trainings and seeds")
    parser.add_argument(
        "--steps", type=int, default=0, help="trial run: trainings of so many steps, kept and written apart"
    )
    parser.add_argument("--write", action="store_true", help=f"put the table into {script.page}")
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "results" / "benchmark" / script.work)
    parser.add_argument("--output", type=Path, help=f"default: results/evaluation/{script.name}.parquet")
    parser.set_defaults(separator=separator)
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The given options, checked; processes that share the cores are told so before numpy and torch count them."""
    given = parser.parse_args()
    if given.steps and (given.write or given.output):
        parser.error("the scores of a trial run (--steps) are written nowhere but into its own folder")
    if given.jobs > 1:
        for name in THREADS:
            os.environ.setdefault(name, str(max(1, (os.cpu_count() or 1) // given.jobs)))
    return given


def chosen_tests(given: argparse.Namespace, known: Sequence[str]) -> list[str]:
    """Names of the tests that are asked for, all by default."""
    tests = [name for name in given.tests.split(",") if name] or list(known)
    unknown = [name for name in tests if name not in known]
    if unknown:
        sys.exit(f"unknown test {', '.join(unknown)}; choose among {', '.join(known)}")
    return tests


def chosen_seeds(given: argparse.Namespace) -> list[int]:
    """Seeds by their number, or by name."""
    seeds = [int(part) for part in given.seeds.split(",")]
    return seeds if "," in given.seeds else list(range(seeds[0]))


def chosen_methods(given: argparse.Namespace) -> list[str]:
    """Names of the methods that are asked for; none: all."""
    return [name.strip() for name in given.methods.split(given.separator) if name.strip()]


def run(
    bench: Bench,
    modules: Mapping[str, str],
    tests: Sequence[str],
    seeds: Sequence[int],
    only: Sequence[str],
    *,
    measure: bool = True,
) -> "pd.DataFrame":
    """All rows (`score_rows.COLUMNS`), each part made once and kept.

    Parameters
    ----------
    modules
        By test, a module with ``parts(test)``: problems and methods, and ``score(bench, test, problem, method, seed)``:
        rows.
    only
        Methods; none: all.
    measure
        False: what was measured before is shown, and nothing is measured.
    """
    import pandas as pd

    from benchmarks.score_rows import COLUMNS

    done = [part for test in tests for part in _one(bench, modules[test], test, seeds, only, measure)]
    empty = pd.DataFrame(columns=COLUMNS)
    return pd.concat([part for part in done if len(part)] or [empty], ignore_index=True)[COLUMNS]


def _one(
    bench: Bench, module: str, test: str, seeds: Sequence[int], only: Sequence[str], measure: bool
) -> "Iterator[pd.DataFrame]":
    """Problem by problem, so that its sections are read once."""
    from benchmarks.kept_tables import kept
    from benchmarks.score_rows import as_table

    asked = import_module(module)
    for problem, parts in groupby(asked.parts(test), key=itemgetter(0)):
        methods = [method for _, method in parts if not only or method in only]
        for seed, method in product(seeds, methods):

            def make(problem=problem, method=method, seed=seed):
                return as_table(asked.score(bench, test, problem, method, seed))

            name = f"{test} {problem.name} {method} {seed}".replace(">", "").replace("/", "-")
            path = bench.own / "scores" / f"{name}.parquet"
            if measure or path.is_file():
                yield kept(path, make)


def run_in_processes(
    bench: Bench,
    modules: Mapping[str, str],
    tests: Sequence[str],
    seeds: Sequence[int],
    only: Sequence[str],
    jobs: int,
) -> None:
    """Do by `jobs` processes what `run` then finds done, seed by seed; the first seed makes what all read."""
    from benchmarks.kept_tables import start_log

    run(bench, modules, tests, seeds[:1], only)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=start_log) as pool:
        for future in [pool.submit(run, bench, modules, tests, [seed], only) for seed in seeds[1:]]:
            future.result()


def output_of(script: Script, given: argparse.Namespace, own: Path) -> Path:
    """Where the scores go; those of a trial run stay in its `own` folder."""
    folder = own if given.steps else REPOSITORY / "results" / "evaluation"
    return given.output or folder / f"{script.name}.parquet"


def write_scores(rows: "pd.DataFrame", output: Path, script: Script) -> "pd.DataFrame":
    """Write `rows` as contract EVALUATION, keeping rows of an earlier run that were not asked now; returns all."""
    import pandas as pd

    from tissuemake.contracts import EVALUATION, write_table

    cost = {name: float("nan") for name in ("seconds", "peak_memory_mb") if name not in rows}
    table = rows.rename(columns={"problem": "sample"}).assign(task=script.name, **cost)
    if output.is_file():
        before = pd.read_parquet(output)
        fresh = pd.MultiIndex.from_frame(table[SAME])
        stale = pd.MultiIndex.from_frame(before[SAME]).isin(fresh)
        table = pd.concat([table, before[~stale]], ignore_index=True)
    write_table(table, output, EVALUATION, {"command": script.command})
    return table.rename(columns={"sample": "problem"})


def show(text: str, given: argparse.Namespace, script: Script) -> None:
    """Print the table and, if asked, put it behind the mark of the page."""
    from tissuemake.files import write_text

    if given.steps:
        text = f"TRIAL RUN of {given.steps} steps: these numbers say nothing.\n\n{text}"
    print(text)
    if given.write:
        page = HERE / script.page
        before = page.read_text(encoding="utf-8").split(script.mark)[0]
        write_text(f"{before}{script.mark}\n\n{text}\n", page)
