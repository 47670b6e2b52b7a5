"""Run one method on files and print its seconds and peak memory as JSON: `methods.in_own_process` starts it.

Needs of a peer's environment only what the method itself needs.
"""

import json
import resource
import sys
import time
from importlib import import_module
from pathlib import Path

import anndata as ad
import pandas as pd


def main(name: str, spots: str, atlas: str, output: str, seed: str, *options: str) -> None:
    """Deconvolve `spots` (h5ad, layer ``counts``) with the prepared atlas in the folder `atlas`.

    Time and memory are those of the method: imports and reading happen before, and the memory of the data
    itself is in the peak, as a scheduler would see it. An option ``EPOCHS=100`` sets that constant of the method.
    """
    if name.startswith("sparank"):
        module = import_module("benchmarks.sparank_rows")
    else:
        module = import_module(f"tissuemake.deconvolution.{name}")
    for key, value in (option.split("=") for option in options):
        setattr(module, key, type(getattr(module, key))(value))
    adata = ad.read_h5ad(spots)
    folder = Path(atlas)
    reference = ad.read_h5ad(folder / "reference.h5ad")
    signatures = pd.read_parquet(folder / "signatures.parquet")
    markers = pd.read_parquet(folder / "markers.parquet")
    started, worked = time.perf_counter(), time.process_time()
    table = module.proportions(adata, reference, signatures, markers, int(seed))
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    said = dict(table.attrs)
    table.to_parquet(output)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cost = {"seconds": round(seconds, 3), "cpu_seconds": round(worked, 3), "peak_memory_mb": round(peak, 1)}
    print(json.dumps({**cost, **said}, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
