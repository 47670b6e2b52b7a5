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
        for more in ({}, {"REFERENCE_EPOCHS": 4}, {"EPOCHS": 6}, {"SAMPLES": 6})
    ),
}
FULL = {
    "tangram": {"EPOCHS": 1000},
    "cell2location": {"REFERENCE_EPOCHS": 250, "EPOCHS": 30_000, "SAMPLES": 200},
}
# A thirtieth of the epochs that its authors train; fewer are no use to anybody.
LEAST_EPOCHS = 1000
FEW_SAID = {
    "tangram": "4 and 14 epochs to 1,000",
    "cell2location": "1 to 6 epochs and 2 to 6 posterior samples to 30,000 and 200",
}
RECKONED = "{} (reckoned)"
TIMES = "times faster than cell2location"
# A processor without units for bfloat16 takes minutes for a large product of it.
MATMULS = (("fp32", 1024), ("fp32", 2048), ("bf16", 512))

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
    worked, least = {}, {}
    for method in (*methods.LEAST_SQUARES, sparank_rows.VARIANTS[0], *methods.PEERS):
        if only and method not in only:
            continue
        if method in methods.PEERS and methods.peer_python(method) is None:
            missing[method] = methods.NO_PEER
            continue
        cost = _cost(method, spots, atlas, work)
        name = RECKONED.format(method) if method in FEW else method
        log.info("speed, %s: %s", name, cost)
        if method in FEW:
            missing[f"the full training of {method}"] = f"its seconds are reckoned from {FEW_SAID[method]}"
        worked[method], least[method] = cost["CPU seconds"], cost.pop("of the least epochs")
        for metric, value in cost.items():
            yield problem, name, metric, value
    slow, slow_least = worked.pop("cell2location", None), least.pop("cell2location", None)
    for method, value in worked.items() if slow else ():
        name = RECKONED.format(method) if method in FEW else method
        yield problem, name, TIMES, slow / value
        yield problem, name, f"{TIMES} of {LEAST_EPOCHS:,} epochs", slow_least / value


def _cost(method: str, spots: Path, atlas: Atlas, work: Path) -> dict[str, float]:
    """Seconds by the clock and of the processors, peak memory; of peers also those of an epoch."""
    with TemporaryDirectory() as folder:
        output = Path(folder, "shares.parquet")
        if method not in FEW:
            learned = method in sparank_rows.VARIANTS
            options = {"MODEL": sparank_rows.hastily_trained(atlas, work)} if learned else {}
            cost = methods.in_own_process(method, spots, atlas, output, 0, **options)
            return _named(cost["seconds"], cost["cpu_seconds"], cost["peak_memory_mb"])
        python = methods.peer_python(method)
        costs = [
            methods.in_own_process(method, spots, atlas, output, 0, python=python, **few)
            for few in FEW[method]
        ]
    clock, worked = ([cost[kind] for cost in costs] for kind in ("seconds", "cpu_seconds"))
    few, full = FEW[method], FULL[method]
    named = _named(
        extrapolate(few, clock, full),
        extrapolate(few, worked, full),
        max(cost["peak_memory_mb"] for cost in costs),
        extrapolate(few, worked, full | {"EPOCHS": LEAST_EPOCHS}),
    )
    # Two counts of epochs differ by what one epoch takes.
    longer = extrapolate(few, worked, full | {"EPOCHS": full["EPOCHS"] + 1000})
    return named | {"CPU seconds an epoch": (longer - named["CPU seconds"]) / 1000}


def _named(clock: float, worked: float, memory: float, least: float = float("nan")) -> dict[str, float]:
    return {"seconds": clock, "CPU seconds": worked, "peak MB": memory, "of the least epochs": least}


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
    for kind, size in MATMULS:
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
