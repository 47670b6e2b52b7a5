"""Runs the tests of the spatial benchmarks, each part once; several processes may share the seeds between them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from itertools import groupby, product
from multiprocessing import get_context
from operator import itemgetter

import pandas as pd

from benchmarks import spatial_masked
from benchmarks.kept_tables import kept, start_log
from benchmarks.spatial_network import Bench
from benchmarks.spatial_rows import COLUMNS, as_table

# Each has `parts(test)`: problems and methods, and `score(bench, test, problem, method, seed)`: rows.
MODULES = dict.fromkeys(spatial_masked.TESTS, "benchmarks.spatial_masked") | {
    "panel": "benchmarks.spatial_panel",
    "layers": "benchmarks.spatial_layers",
    "labels": "benchmarks.spatial_labels",
    "direction": "benchmarks.spatial_direction",
    "scale": "benchmarks.spatial_scale_rows",
}
TESTS = tuple(MODULES)


def run(
    bench: Bench, tests: Sequence[str], seeds: Sequence[int], only: Sequence[str], *, measure: bool = True
) -> pd.DataFrame:
    """All rows.

    Parameters
    ----------
    only
        Methods; none: all.
    measure
        False: what was measured before is shown, and nothing is measured.
    """
    done = [part for test in tests for part in _one(bench, test, seeds, only, measure)]
    empty = pd.DataFrame(columns=COLUMNS)
    return pd.concat([part for part in done if len(part)] or [empty], ignore_index=True)[COLUMNS]


def _one(
    bench: Bench, test: str, seeds: Sequence[int], only: Sequence[str], measure: bool
) -> Iterator[pd.DataFrame]:
    """Problem by problem, so that its sections are read once."""
    module = import_module(MODULES[test])
    for problem, parts in groupby(module.parts(test), key=itemgetter(0)):
        methods = [method for _, method in parts if not only or method in only]
        for seed, method in product(seeds, methods):

            def make(problem=problem, method=method, seed=seed):
                return as_table(module.score(bench, test, problem, method, seed))

            name = f"{test} {problem.name} {method} {seed}".replace(">", "").replace("/", "-")
            path = bench.own / "scores" / f"{name}.parquet"
            if measure or path.is_file():
                yield kept(path, make)


def run_in_processes(
    bench: Bench, tests: Sequence[str], seeds: Sequence[int], only: Sequence[str], jobs: int
) -> None:
    """Do by `jobs` processes what `run` then finds done, seed by seed; the first seed makes what all read."""
    run(bench, tests, seeds[:1], only)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=start_log) as pool:
        for future in [pool.submit(run, bench, tests, [seed], only) for seed in seeds[1:]]:
            future.result()
