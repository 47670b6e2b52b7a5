"""How time and memory of an answer grow with the slide: measured on made-up slides, each in a process of its own."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from tissuemake.models.quadflow.architecture import PRESETS, Flows

PITCH_UM = 100.0
PATHWAYS, FEATURES = 50, 68
# A slide's memory is what its answer takes beyond that of so few spots.
FEWEST = 100


def measure_scale(
    spots: Sequence[int] = (500, 2000, 10_000, 50_000),
    *,
    preset: str = "tiny",
    flows: Flows | Sequence[str] | None = None,
    repeats: int = 1,
) -> pd.DataFrame:
    """Answer made-up slides of so many `spots`; untrained weights cost what trained ones do.

    Returns
    -------
    DataFrame
        Per size ``spots``, ``seconds`` (reading the surroundings, graph and network; the least of `repeats`),
        ``cpu_seconds``, ``megabytes`` (peak of the process beyond that of an answer for `FEWEST` spots), and both per
        1000 spots.
    """
    names = Flows().names if flows is None else flows.names if isinstance(flows, Flows) else list(flows)
    rows = []
    base = _in_process(FEWEST, preset, names)["megabytes"]
    for count in spots:
        found = [_in_process(count, preset, names) for _ in range(repeats)]
        best = min(found, key=lambda row: row["cpu_seconds"])
        rows.append({**best, "megabytes": max(min(row["megabytes"] for row in found) - base, 0.0)})
    table = pd.DataFrame(rows)
    for column in ("cpu_seconds", "megabytes"):
        table[f"{column}_per_1000"] = table[column] / table["spots"] * 1000
    return table


def growth(table: pd.DataFrame, column: str = "cpu_seconds") -> float:
    """Exponent of `column` in the number of spots between the two largest sizes: 1 is linear, 2 quadratic."""
    last = table.sort_values("spots").tail(2)
    ratio = np.log(last[column].to_numpy()), np.log(last["spots"].to_numpy())
    return float((ratio[0][1] - ratio[0][0]) / (ratio[1][1] - ratio[1][0]))


def answer_once(spots: int, preset: str, flows: Sequence[str]) -> dict[str, float]:
    """Answer one made-up slide here, and say what it took."""
    import torch

    from tissuemake.models.quadflow.network import QuadflowNetwork
    from tissuemake.models.quadflow.section import Patches, Reader

    shape = replace(PRESETS[preset].architecture, flows=Flows.of(flows))
    reader = Reader.for_shape(None, None, shape)
    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(spots)))
    places = np.column_stack(np.divmod(np.arange(spots), side)).astype(float) * PITCH_UM
    slide = Patches(rng.normal(size=(spots, FEATURES)).astype(np.float32), places, np.arange(spots))
    inputs = FEATURES * (1 + len(reader.radii_um))
    network = QuadflowNetwork(shape, inputs, PATHWAYS).eval()
    started, spent = time.perf_counter(), time.process_time()
    with torch.no_grad():
        network(reader.view(slide))
    return {
        "spots": spots,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - spent,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _in_process(spots: int, preset: str, flows: Sequence[str]) -> dict[str, float]:
    """A peak of memory is that of a process: each size has its own."""
    call = (
        f"import json; from {__name__} import answer_once; "
        f"print(json.dumps(answer_once({spots}, {preset!r}, {list(flows)!r})))"
    )
    done = subprocess.run([sys.executable, "-c", call], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])
