"""Which file should hold the tiles of a slide? Formats side by side: random and sequential reads, size, memory.

``python tests/benchmarks/tile_store.py [--tiles 4096] [--image PICTURE]`` writes the same tiles in every format and
reads them back, each format in a process of its own.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter, process_time

import imagecodecs
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.tile_formats import FORMATS
from tissuemake.histology.tile_store import decode_jpeg, encode_jpeg

EDGE, BATCH = 224, 256


def tiles_of(image: Path | None, count: int) -> list[bytes]:
    """JPEGs of `count` places of a picture; without one, of simulated stain."""
    rng = np.random.default_rng(0)
    if image is None:
        from tissuemake.simulate.staining import _colour

        grain = rng.gamma(2, 0.15, (2, 2500, 2500)).astype(np.float32)
        pixels = _colour(*grain)
    else:
        pixels = imagecodecs.imread(image)[..., :3]
    height, width = pixels.shape[:2]
    corners = rng.integers(0, (height - EDGE, width - EDGE), (count, 2))
    return [encode_jpeg(np.ascontiguousarray(pixels[y : y + EDGE, x : x + EDGE])) for y, x in corners]


def drop_from_cache(path: Path) -> None:
    """Write the file out and ask the system to forget its pages."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def measure(name: str, path: Path, count: int) -> dict[str, float]:
    """Reads of one format, in a fresh process."""
    form = FORMATS[name]
    finish = np.asarray if form.raw else decode_jpeg
    before = _private_mb()
    drop_from_cache(path)
    rng = np.random.default_rng(1)
    started = perf_counter()
    read = form.open(path)
    for picture in read(rng.integers(0, count, BATCH)):
        finish(picture)
    cold = perf_counter() - started
    order = rng.permutation(count)
    blocks = [order[i : i + BATCH] for i in range(0, count, BATCH)]
    for block in blocks:  # the whole file comes into the cache
        read(block)
    found = {"first 256, cold (s)": cold}
    found["random, bytes/s"] = _rate(blocks, lambda rows: [bytes(memoryview(p)) for p in read(rows)])
    found["random, decoded/s"] = _rate(blocks, lambda rows: [finish(p) for p in read(rows)])
    ordered = [np.sort(order)[i : i + BATCH] for i in range(0, count, BATCH)]
    found["in order, decoded/s"] = _rate(ordered, lambda rows: [finish(p) for p in read(rows)])
    found["private MB"] = _private_mb() - before
    return found


def _rate(blocks: list[np.ndarray], work) -> float:
    """Tiles per second of processor time, the best of three times: others may use the machine."""
    times = []
    for _ in range(3):
        started = process_time()
        for rows in blocks:
            work(rows)
        times.append(process_time() - started)
    return sum(map(len, blocks)) / min(times)


def _private_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=4096)
    parser.add_argument("--image", type=Path, help="a picture of tissue to cut the tiles from")
    parser.add_argument("--work", type=Path, help="where to write; a temporary folder otherwise")
    options = parser.parse_args()
    jpegs = tiles_of(options.image, options.tiles)
    stored = sum(map(len, jpegs))
    started = perf_counter()
    for jpeg in jpegs[:1000]:
        decode_jpeg(jpeg)
    print(f"{len(jpegs)} tiles of {stored / len(jpegs) / 1e3:.1f} kB; "
          f"bare decode {min(1000, len(jpegs)) / (perf_counter() - started):.0f}/s")  # fmt: skip
    context = multiprocessing.get_context("spawn")
    rows = {}
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        for name, form in FORMATS.items():
            path = Path(folder) / f"tiles{form.suffix}"
            started = perf_counter()
            form.write(path, jpegs)
            written = perf_counter() - started
            size = path.stat().st_size / stored
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                found = pool.submit(measure, name, path, len(jpegs)).result()
            rows[name] = found | {"size / JPEGs": size, "write (s)": written}
            path.unlink()
    print(pd.DataFrame(rows).T.round(3).to_markdown())


if __name__ == "__main__":
    main()
