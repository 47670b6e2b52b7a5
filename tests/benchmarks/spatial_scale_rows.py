"""What SAGE-FM costs at 10,000 to 1,000,000 simulated cells, stage by stage, as rows of the one table."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import spatial_scale
from benchmarks.score_rows import CLOCK_SECONDS, PER_CELL, Cost, Row, rows
from benchmarks.spatial_network import Bench

TEST = "scale"
SIZES = (10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Problem:
    """A section with so many simulated cells."""

    name: str
    cells: int


PROBLEMS = tuple(Problem(f"{size:,} simulated cells", size) for size in SIZES)


def parts(test: str) -> Iterator[tuple[Problem, str]]:
    """Every size with every stage."""
    for problem in PROBLEMS:
        for stage in spatial_scale.STAGES:
            yield problem, stage


def score(bench: Bench, test: str, problem: Problem, method: str, seed: int) -> Iterator[Row]:
    """Rows of one stage in a process of its own; clocks need no seeds, so only the first is asked."""
    if seed:
        return
    work = bench.work / "scale"
    work.mkdir(parents=True, exist_ok=True)
    found = spatial_scale.measure([method], [problem.cells], work).iloc[0]
    values = {CLOCK_SECONDS: found["seconds"], PER_CELL: found["us per cell"]}
    yield from rows(test, problem.name, method, seed, values, Cost(found["CPU seconds"], found["peak MB"]))
