"""The one shape of a score that is kept, with what it took in time and memory where that is known."""

import math
import resource
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

COLUMNS = ["test", "problem", "metric", "method", "seed", "value", "seconds", "peak_memory_mb"]
CLOCK_SECONDS, PER_CELL = "seconds by the clock", "µs of CPU per cell"
# Metrics without a winner.
UNRANKED = ("domains", CLOCK_SECONDS, PER_CELL)


@dataclass
class Cost:
    """Seconds of the processor, which a busy machine does not stretch, and the largest memory of the process meanwhile.

    That memory is resident and has libraries and data in it.
    """

    seconds: float = 0.0
    peak_memory_mb: float = 0.0

    def and_before(self, other: "Cost") -> "Cost":
        """Both, one after the other."""
        return Cost(self.seconds + other.seconds, max(self.peak_memory_mb, other.peak_memory_mb))


@dataclass(frozen=True)
class Row:
    """One number.

    Attributes
    ----------
    test
        What is asked: ``masked genes``, ``masked spots``, ``layers``, ``labels``, ``panel``, …
    problem
        On what, train and test by name: ``DLPFC 151673 -> 151674``.
    method
        A model, or a baseline by name.
    seed
        Of what is random: the hidden genes, the weights, the clusters.
    """

    test: str
    problem: str
    metric: str
    method: str
    seed: int
    value: float
    seconds: float = math.nan
    peak_memory_mb: float = math.nan


UNKNOWN_COST = Cost(math.nan, math.nan)


def rows(
    test: str,
    problem: str,
    method: str,
    seed: int,
    scores: Mapping[str, float],
    cost: Cost = UNKNOWN_COST,
) -> Iterator[Row]:
    """A `Row` for each metric of `scores`."""
    for metric, value in scores.items():
        yield Row(test, problem, metric, method, seed, float(value), cost.seconds, cost.peak_memory_mb)


def as_table(rows: Iterable[Row]) -> pd.DataFrame:
    """Columns `COLUMNS`, a row each."""
    return pd.DataFrame([vars(row) for row in rows], columns=COLUMNS)


@contextmanager
def costing() -> Iterator[Cost]:
    """Yield a `Cost` that is filled when the block ends.

    The peak is that of the block alone where the kernel lets the mark be lowered (Linux), else that of the process so
    far.
    """
    lowered = _lower_the_mark()
    cost = Cost()
    started = time.process_time()
    yield cost
    cost.seconds = time.process_time() - started
    cost.peak_memory_mb = _mark() if lowered else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _lower_the_mark() -> bool:
    try:
        with Path("/proc/self/clear_refs").open("w") as file:
            file.write("5")
    except OSError:
        return False
    return True


def _mark() -> float:
    with Path("/proc/self/status").open() as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
