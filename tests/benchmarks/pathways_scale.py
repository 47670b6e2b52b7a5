"""What an answer of quadflow costs at 500 to 50,000 patches, in a process of its own for each size."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.kept_run import Bench
from benchmarks.score_rows import CLOCK_SECONDS, Cost, Row, rows
from tissuemake.models.quadflow import scale
from tissuemake.models.quadflow.architecture import Flows

TEST = "scale"
SIZES = (500, 1_500, 5_000, 15_000, 50_000)
METHODS = {"H-H local": Flows(), "H-H off": Flows(patches_to_patches=False)}
PER_PATCH, MEMORY = "µs of CPU per patch", "MB beyond a tiny slide, per 1,000 patches"
METRICS = (CLOCK_SECONDS, PER_PATCH, MEMORY)


@dataclass(frozen=True)
class Problem:
    """A slide with so many patches."""

    name: str
    patches: int


def parts(test: str) -> Iterator[tuple[Problem, str]]:
    """Every size with the flow among patches local, and off."""
    for size in SIZES:
        for method in METHODS:
            yield Problem(f"{size:,} patches", size), method


def score(bench: Bench, test: str, problem: Problem, method: str, seed: int) -> Iterator[Row]:
    """Rows of one size; clocks need no seeds, so only the first is asked."""
    if seed:
        return
    found = scale.measure_scale([problem.patches], preset=bench.preset, flows=METHODS[method]).iloc[0]
    values = {CLOCK_SECONDS: found["seconds"], PER_PATCH: found["cpu_seconds"] / problem.patches * 1e6}
    values[MEMORY] = found["megabytes_per_1000"]
    yield from rows(test, problem.name, method, seed, values, Cost(found["cpu_seconds"], found["megabytes"]))
