"""The tests of the spatial benchmark by module."""

from collections.abc import Sequence

import pandas as pd

from benchmarks import kept_run, spatial_masked
from benchmarks.kept_run import Bench

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
    """All rows; see `kept_run.run`."""
    return kept_run.run(bench, MODULES, tests, seeds, only, measure=measure)
