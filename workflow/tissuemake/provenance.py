"""Ground floor: what made a file: versions, device, seed, seconds and peak memory."""

import platform
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from tissuemake import __version__

RECORDED = (
    "snakemake",
    "anndata",
    "scanpy",
    "squidpy",
    "spatialdata",
    "liana",
    "decoupler",
    "leidenalg",
    "scikit-learn",
    "tifffile",
    "openslide-python",
    "torch",
    "transformers",
    "timm",
    "numpy",
    "scipy",
    "pandas",
)


@contextmanager
def measured(method: str, *, seed: int | None = None, device: str = "cpu", **extra: object) -> Iterator[dict]:
    """Yield a provenance record; when the block ends it holds seconds and peak memory.

    The peak is that of the whole process (``ru_maxrss``), the number a scheduler would see.
    """
    record: dict = {"method": method, "device": device, "versions": versions(), **extra}
    if seed is not None:
        record["seed"] = seed
    started = time.perf_counter()
    yield record
    record["seconds"] = round(time.perf_counter() - started, 3)
    record["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def versions() -> dict[str, str]:
    """Return the versions of Python, tissuemake and the packages that shape results."""
    return dict(_versions())


@cache
def _versions() -> Mapping[str, str]:
    """Looked up once: each package's takes milliseconds."""
    found = {"tissuemake": __version__, "python": platform.python_version()}
    for package in RECORDED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # an extra's environment need not hold all of them
            continue
    return found
