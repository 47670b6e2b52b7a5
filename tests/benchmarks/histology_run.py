"""Runs the tests of the image benchmarks, each part once; several processes may share the seeds between them."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib import import_module
from multiprocessing import get_context

import pandas as pd

from benchmarks import histology_expression as expression
from benchmarks.histology_curve import TILES
from benchmarks.histology_encoders import FINE_TUNED, SEEDED, Bench, embedded
from benchmarks.histology_rows import COLUMNS, as_table
from benchmarks.histology_sections import (
    REAL,
    TEACHING_SLIDES,
    Problem,
    simulated_problem,
    spot_tiles,
    teaching_tiles,
)
from benchmarks.kept_tables import kept, log, start_log
from benchmarks.problems import derive

# Tests with a module of their own: `rows(bench, seed)` yields histology_rows.Row.
MODULES = {
    "tumour": "benchmarks.histology_tumor",
    "between spots": "benchmarks.histology_highres",
    "zones": "benchmarks.histology_zones",
    "learning curve": "benchmarks.histology_curve",
}
TESTS = ("expression", "simulated expression", *MODULES)


def run(bench: Bench, tests: list[str], seeds: list[int], only: list[str], once: int) -> pd.DataFrame:
    """All rows.

    Parameters
    ----------
    only
        Encoders and baselines of expression; none: all.
    once
        The seed with which methods without chance in them are asked.
    """
    done = [pd.DataFrame(columns=COLUMNS)]
    for test in tests:
        if test in MODULES:
            module = import_module(MODULES[test])
            for seed in seeds:
                path = bench.own / "scores" / f"{test} {seed}.parquet"
                done.append(kept(path, lambda module=module, seed=seed: as_table(module.rows(bench, seed))))
        else:
            done += _expression(bench, seeds, only, once, test == "simulated expression")
    return pd.concat([part for part in done if len(part)] or done, ignore_index=True)[COLUMNS]


def _expression(
    bench: Bench, seeds: list[int], only: list[str], once: int, simulated: bool
) -> Iterator[pd.DataFrame]:
    """Scores of all methods; simulated tissues differ by seed."""
    for seed in seeds:
        for problem in [simulated_problem(seed)] if simulated else REAL:
            asked = None
            for method in expression.methods():
                if only and method.split(", ")[0] not in only:
                    continue
                if seed != once and not simulated and not any(name in method for name in SEEDED):
                    continue
                path = bench.own / "scores" / f"{problem.name} {method} {seed}.parquet"
                if asked is None and not path.is_file():
                    asked = expression.ask(bench, problem)

                def make(problem=problem, method=method, seed=seed, asked=asked):
                    return as_table(expression.score(bench, problem, asked, method, seed))

                yield kept(path, make)


def run_in_processes(
    bench: Bench, tests: list[str], seeds: list[int], only: list[str], once: int, jobs: int
) -> None:
    """Do by `jobs` processes what `run` then finds done: first what is of much the same length, then seed by seed."""
    share(bench)
    problems = REAL if {"expression", "learning curve"} & set(tests) else ()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=start_log) as pool:
        taught = [(replace(bench, tiles=tiles), seed) for tiles in _sizes(tests) for seed in seeds]
        waiting = [pool.submit(teach, *one, problems) for one in taught if not only]
        for future in waiting:
            future.result()
        waiting = [pool.submit(run, bench, tests, [seed], only, once) for seed in seeds]
        for future in waiting:
            future.result()


def share(bench: Bench) -> None:
    """Prepare what all seeds read, so that no two processes make it at once."""
    derive(bench.data, bench.work)
    for name in dict.fromkeys(name for problem in REAL for name in (*problem.train, problem.test)):
        started = time.perf_counter()
        spot_tiles(bench.section(name))
        embedded(bench, "color", name, 0)
        if name in TEACHING_SLIDES:
            teaching_tiles(bench.section(name))
        log.info("section %s: %.0f s", name, time.perf_counter() - started)


def teach(bench: Bench, seed: int, problems: Sequence[Problem]) -> None:
    """Pretrain one encoder and embed the sections of `problems`; that of all tiles is fine-tuned on each, too."""
    from benchmarks.histology_pretraining import pretrained

    started = time.perf_counter()
    pretrained(bench, TEACHING_SLIDES, seed)
    tiles = bench.tiles or "all"
    log.info("pretraining on %s tiles, seed %d: %.0f s", tiles, seed, time.perf_counter() - started)
    encoders = ("spafoundation",) if bench.tiles else (*SEEDED, FINE_TUNED)
    for problem in problems:
        for encoder in encoders:
            for name in (*problem.train, problem.test):
                embedded(bench, encoder, name, seed, problem.train)
    log.info("with embeddings and fine-tuning: %.0f s", time.perf_counter() - started)


def _sizes(tests: list[str]) -> tuple[int, ...]:
    """Numbers of tiles that encoders are pretrained on; 0: all."""
    return tuple(sorted(TILES)) if "learning curve" in tests else (0,)
