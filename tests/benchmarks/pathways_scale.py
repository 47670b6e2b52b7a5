"""What quadflow costs at 500 to 50,000 patches: a slide read, asked and taught one step, in a process of its own.

`python tests/benchmarks/pathways_scale.py 500 5000 50000`
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.kept_run import Bench
from benchmarks.score_rows import CLOCK_SECONDS, Cost, Row, costing, rows

TEST = "scale"
SIZES = (500, 1_500, 5_000, 15_000, 50_000)
LOCAL, OFF = "H-H local", "H-H off"
METHODS = (LOCAL, OFF)
FEATURES, PATHWAYS, PITCH_UM = 137, 50, 100.0
ASK, TEACH = "µs of CPU to ask, per patch", "µs of CPU to teach a step, per patch"
MEMORY = "MB above 500 patches, per 1,000"
METRICS = (CLOCK_SECONDS, ASK, TEACH, MEMORY)


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
    found = measure(problem.patches, method, bench.preset)
    values = {CLOCK_SECONDS: found["seconds"]}
    values |= {ASK: found["ask"] / problem.patches * 1e6, TEACH: found["teach"] / problem.patches * 1e6}
    if problem.patches > min(SIZES):
        least = measure(min(SIZES), method, bench.preset)["peak"]
        values[MEMORY] = (found["peak"] - least) / (problem.patches - min(SIZES)) * 1000
    cost = Cost(found["ask"] + found["teach"], found["peak"])
    yield from rows(test, problem.name, method, seed, values, cost)


def measure(patches: int, method: str, preset: str) -> dict[str, float]:
    """CPU seconds to ``ask`` and to ``teach``, ``seconds`` by the clock for both, ``peak`` MB of the process."""
    command = [sys.executable, str(Path(__file__).resolve()), "--alone", str(patches), method, preset]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def alone(patches: int, method: str, preset: str) -> dict[str, float]:
    """The same, in this process."""
    import time

    import torch

    from tissuemake.models.quadflow.architecture import PRESETS
    from tissuemake.models.quadflow.network import QuadflowNetwork
    from tissuemake.models.quadflow.section import Reader

    shape = PRESETS[preset].architecture
    shape = replace(shape, flows=replace(shape.flows, patches_to_patches=method == LOCAL))
    slide = lattice(patches)
    reader = Reader(None, shape.neighbors, shape.flows.patches_to_patches)
    torch.manual_seed(0)
    network = QuadflowNetwork(shape, reader.view(lattice(50)).features.shape[1], PATHWAYS).eval()
    started = time.perf_counter()
    with costing() as ask, torch.no_grad():
        network(reader.view(slide))
    with costing() as teach:
        network.train()(reader.view(slide)).square().mean().backward()
    return {
        "ask": ask.seconds,
        "teach": teach.seconds,
        "seconds": time.perf_counter() - started,
        "peak": max(ask.peak_memory_mb, teach.peak_memory_mb),
    }


def lattice(patches: int):
    """A hexagonal slide of so many patches with features at random."""
    import numpy as np

    from tissuemake.models.quadflow.section import Patches

    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(patches)))
    row, col = (axis.ravel()[:patches] for axis in np.indices((side, side)))
    positions = np.column_stack([(col + row % 2 / 2) * PITCH_UM, row * PITCH_UM * np.sqrt(3) / 2])
    return Patches(rng.normal(size=(patches, FEATURES)).astype(np.float32), positions)


def main() -> None:
    """Print the cost of each size, or of one in this process."""
    if sys.argv[1:2] == ["--alone"]:
        patches, method, preset = sys.argv[2:]
        print(json.dumps(alone(int(patches), method, preset)))
        return
    for size in map(int, sys.argv[1:] or map(str, SIZES)):
        for method in METHODS:
            print(size, method, {k: round(v, 3) for k, v in measure(size, method, "tiny").items()})


if __name__ == "__main__":
    main()
