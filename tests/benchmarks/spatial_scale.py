"""What the spatial graph costs at 10,000 to 1,000,000 simulated cells: seconds and peak memory, a process each.

`python tests/benchmarks/spatial_scale.py --graph-only --sizes 10000,100000,1000000`
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.contracts import FILTERED, write_anndata
from tissuemake.simulate.tissue import stream

GENES = 250
TRANSCRIPTS = 100.0  # a cell has of the panel, on average
CELL_UM2 = 100.0  # of tissue to a cell: a larger section is wider, not denser
BLOCK = 50_000
MODEL, TAUGHT_STEPS = "model", 2


def simulated_cells(n: int, seed: int) -> ad.AnnData:
    """`n` cells anywhere on a square section, with Poisson counts; the contract of ``filtered.h5ad``."""
    rng = stream(seed, "spatial scale")
    rates = rng.lognormal(0, 1.2, GENES)
    rates *= TRANSCRIPTS / rates.sum()
    blocks = [min(BLOCK, n - start) for start in range(0, n, BLOCK)]
    counts = sp.vstack(
        [sp.csr_matrix(rng.poisson(rates, (rows, GENES)).astype(np.float32)) for rows in blocks]
    )
    counts = sp.csr_matrix(counts)
    total = np.asarray(counts.sum(axis=1)).ravel()
    values = counts.copy()
    values.data = np.log1p(values.data * np.repeat(1e4 / np.maximum(total, 1), np.diff(counts.indptr)))
    cells = ad.AnnData(
        values.astype(np.float32),
        obs=pd.DataFrame(
            {"in_tissue": True, "total_counts": total, "n_genes_by_counts": np.diff(counts.indptr)},
            index=pd.Index([f"cell{i}" for i in range(n)], name="barcode"),
        ),
        var=pd.DataFrame({"gene_id": ""}, index=[f"GENE{i}" for i in range(GENES)]),
        layers={"counts": counts},
        obsm={"spatial": rng.uniform(0, np.sqrt(n * CELL_UM2), (n, 2))},
    )
    cells.uns["spatial"] = {
        "scale": {"images": {}, "scalefactors": {"microns_per_pixel": 1.0}, "metadata": {}}
    }
    cells.uns["tissuemake"] = {"sample": "scale", "assay": "xenium", "organism": "human", "donor": "scale"}
    cells.uns["tissuemake"] |= {
        "observation": "cell",
        "lattice": "none",
        "pitch_um": 0.0,
        "spot_diameter_um": 10.0,
    }
    cells.uns["dropped"] = pd.DataFrame(columns=["reason", "x", "y", "total_counts"])
    return cells


def peak_mb() -> float:
    """Most memory this process has held so far, as a scheduler would see it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def graph_of(filtered: Path) -> dict[str, float]:
    """Cost of the neighbours alone; positions are read before."""
    from tissuemake.models.sagefm.graph import neighborhood_of

    cells = ad.read_h5ad(filtered)
    before = peak_mb()
    cost, found = timed(lambda: neighborhood_of(cells))
    return cost | {
        "peak MB": peak_mb(),
        "data MB": before,
        "neighbors": float((found.index >= 0).sum(axis=1).mean()),
    }


def timed(work: Callable[[], object]) -> tuple[dict[str, float], object]:
    """Seconds by the clock, which a busy machine stretches, and of the processor; and what came out."""
    started, worked = time.perf_counter(), time.process_time()
    result = work()
    return {"seconds": time.perf_counter() - started, "CPU seconds": time.process_time() - worked}, result


def embedding_of(filtered: Path) -> dict[str, float]:
    """Cost of the workflow's step, from file to file: reading, neighbours, network, writing."""
    from tissuemake.models.sagefm.encode import embed_sagefm

    before = peak_mb()
    with TemporaryDirectory() as folder:
        cost, _ = timed(lambda: embed_sagefm(filtered, filtered.parent / MODEL, Path(folder) / "sagefm.h5ad"))
    return cost | {"peak MB": peak_mb(), "data MB": before}


def teach(filtered: Path) -> None:
    """A model of the preset `tiny` beside the cells, hardly taught: weights cost the same whatever they say."""
    from tissuemake.models.sagefm.architecture import PRESETS
    from tissuemake.models.sagefm.pretrain import pretrain_sagefm

    tiny = PRESETS["tiny"]
    few = replace(tiny, schedule=replace(tiny.schedule, steps=TAUGHT_STEPS, validate_every=TAUGHT_STEPS))
    pretrain_sagefm(
        [filtered],
        filtered.parent / MODEL,
        checkpoints=filtered.parent / "checkpoints",
        custom=few,
    )


# A stage is a function of the file filtered.h5ad that is run and measured in a process of its own.
STAGES: dict[str, Callable[[Path], dict[str, float]]] = {"graph": graph_of, "embedding": embedding_of}


def measure(stages: Sequence[str], sizes: Sequence[int], work: Path, seed: int = 0) -> pd.DataFrame:
    """One row per stage and size, with ``us per cell``: the same at all sizes where cost grows linearly."""
    rows = []
    for n in sizes:
        filtered = work / f"cells{n}_{seed}.h5ad"
        if not filtered.is_file():
            _in_own_process("simulate", filtered, n, seed)
        if "embedding" in stages and not (work / MODEL).is_dir():
            _in_own_process("teach", filtered)
        for stage in stages:
            cost = _in_own_process(stage, filtered)
            rows.append({"stage": stage, "cells": n, **cost, "us per cell": cost["CPU seconds"] / n * 1e6})
    return pd.DataFrame(rows)


def _in_own_process(stage: str, filtered: Path, *more: object) -> dict[str, float]:
    command = [
        sys.executable,
        str(Path(__file__).resolve()),
        "--alone",
        stage,
        str(filtered),
        *map(str, more),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _alone(stage: str, filtered: Path, *more: str) -> dict[str, float]:
    if stage == "teach":
        teach(filtered)
        return {}
    if stage != "simulate":
        return STAGES[stage](filtered)
    write_anndata(simulated_cells(*map(int, more)), filtered, FILTERED)
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="10000,100000,1000000", help="numbers of cells, with commas")
    parser.add_argument("--graph-only", action="store_true", help="no model, only who is whose neighbour")
    parser.add_argument("--work", type=Path, help="keep simulated cells here, for the next run")
    parser.add_argument("--alone", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        stage, filtered, *more = options.alone
        print(json.dumps(_alone(stage, Path(filtered), *more)))
        return
    sizes = [int(size) for size in options.sizes.split(",")]
    stages = ["graph"] if options.graph_only else list(STAGES)
    with TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        print(measure(stages, sizes, work).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
