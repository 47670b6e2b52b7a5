"""Seconds and memory of each method on the same 10,000 spots, and how near training comes to the matrix units."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from benchmarks import methods, simulated, sparank_rows, throughput
from benchmarks.problems import Atlas
from tissuemake.simulate.tissue import stream

log = logging.getLogger("benchmark")
SPOTS, GENES = 10_000, 2_000
# Full trainings of the peers take an hour to days here: a few epochs are run, the rest is reckoned from them.
FEW = {
    "tangram": ({"EPOCHS": 4}, {"EPOCHS": 14}),
    "cell2location": tuple(
        {"REFERENCE_EPOCHS": 1, "EPOCHS": 1, "SAMPLES": 2} | more
        for more in ({}, {"REFERENCE_EPOCHS": 11}, {"EPOCHS": 11}, {"SAMPLES": 22})
    ),
}
FULL = {
    "tangram": {"EPOCHS": 1000},
    "cell2location": {"REFERENCE_EPOCHS": 250, "EPOCHS": 30_000, "SAMPLES": 200},
}
FEW_SAID = {"tangram": "4 and 14 epochs", "cell2location": "1 to 11 epochs, 2 to 22 posterior samples"}
RECKONED = "{} (reckoned)"
MATMUL_SIZES = (1024, 2048)

Row = tuple[str, str, str, float]


def run(work: Path, only: list[str], trainer: sparank_rows.Trainer) -> tuple[pd.DataFrame, dict[str, str]]:
    """Rows of the test ``speed``, one process each, one after the other; and what was skipped or only reckoned, why."""
    rows, missing = [], {}
    for line in [*_inference(work, only, missing), *_training(work, only, trainer)]:
        problem, method, metric, value = line
        rows.append({"problem": problem, "method": method, "metric": metric, "value": value})
    table = pd.DataFrame(rows, columns=["problem", "method", "metric", "value"])
    return table.assign(test="speed", kind="measured", seed=0, seconds=None, peak_memory_mb=None), missing


def _inference(work: Path, only: list[str], missing: dict[str, str]) -> Iterator[Row]:
    problem = f"{SPOTS:,} spots x {GENES:,} genes, {os.environ.get('OMP_NUM_THREADS', 'all')} threads"
    atlas = simulated.source_atlas(0, work, genes=GENES)
    spots = work / "speed.h5ad"
    if not spots.is_file():
        shares = simulated.balanced(stream(0, "speed"), SPOTS)
        made = simulated.spots_problem("speed", 0, atlas, shares, 0.0, stream(0, "speed spots"), GENES)
        made.spots.write_h5ad(spots)
    seconds = {}
    for method in (*methods.LEAST_SQUARES, sparank_rows.VARIANTS[0], *methods.PEERS):
        if only and method not in only:
            continue
        if method in methods.PEERS and methods.peer_python(method) is None:
            missing[method] = methods.NO_PEER
            continue
        name, cost = _cost(method, spots, atlas, work)
        log.info("speed, %s: %.0f s", name, cost["seconds"])
        seconds[name] = cost["seconds"]
        if name != method:
            missing[f"the full training of {method}"] = (
                f"its seconds are reckoned from runs of {FEW_SAID[method]}"
            )
        yield problem, name, "seconds", cost["seconds"]
        yield problem, name, "peak MB", cost["peak_memory_mb"]
    slow = seconds.pop(RECKONED.format("cell2location"), None)
    for name, value in seconds.items() if slow else ():
        yield problem, name, "times faster than cell2location", slow / value


def _cost(method: str, spots: Path, atlas: Atlas, work: Path) -> tuple[str, dict]:
    """Name of the row, seconds and memory."""
    with TemporaryDirectory() as folder:
        output = Path(folder, "shares.parquet")
        if method not in FEW:
            learned = method in sparank_rows.VARIANTS
            options = {"MODEL": sparank_rows.hastily_trained(atlas, work)} if learned else {}
            return method, methods.in_own_process(method, spots, atlas, output, 0, **options)
        python = methods.peer_python(method)
        costs = [
            methods.in_own_process(method, spots, atlas, output, 0, python=python, **few)
            for few in FEW[method]
        ]
    seconds = extrapolate(FEW[method], [cost["seconds"] for cost in costs], FULL[method])
    memory = max(cost["peak_memory_mb"] for cost in costs)
    return RECKONED.format(method), {"seconds": seconds, "peak_memory_mb": memory}


def extrapolate(few: tuple[dict, ...], seconds: list[float], full: dict) -> float:
    """Seconds at the epochs `full`, linear in each, from runs at `few`: the first, then one with more of each kind.

    NaN where more `EPOCHS` did not take longer: the machine was too busy to reckon from it. Of the lesser parts a slope
    below 0 counts as 0, which is kind to the method.
    """
    total = seconds[0]
    for options, took in zip(few[1:], seconds[1:], strict=True):
        (key,) = [key for key in options if options[key] != few[0][key]]
        slope = (took - seconds[0]) / (options[key] - few[0][key])
        if key == "EPOCHS" and slope <= 0:
            return float("nan")
        total += max(slope, 0.0) * (full[key] - few[0][key])
    return total


def _training(work: Path, only: list[str], trainer: sparank_rows.Trainer) -> Iterator[Row]:
    rates = {}
    for kind in ("fp32", "bf16"):
        for size in MATMUL_SIZES:
            rates[kind, size] = throughput.matmul_rate(size, kind)
            yield "matrix units", "matmul", f"GFLOP/s, {kind}, {size}", rates[kind, size]
    for method in sparank_rows.VARIANTS:
        if only and method not in only:
            continue
        measured = throughput.training_rate(
            simulated.source_atlas(0, work, genes=GENES), trainer.custom(method)
        )
        for metric, value in measured.items():
            yield "training", method, metric, value
        reached = measured["spots/s"] * measured["MFLOP per spot"] / 1e3
        yield "training", method, "GFLOP/s", reached
        best = max(rate for (kind, _), rate in rates.items() if kind == "fp32")
        yield "training", method, "share of the fp32 matmul rate", reached / best
