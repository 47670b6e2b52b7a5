"""How fast are slides read? Tiles per second of every reader, beside the rate of the JPEG decoder alone.

``python tests/benchmarks/slides.py --data FOLDER`` prints three tables. All readers, and the decoder alone, take turns
within each repeat, so that whatever else the machine does meets them alike. Without data the picture is drawn.

The limit is what no reader can pass with this decoder (libjpeg-turbo through imagecodecs): the JPEG tiles that cover
the request are in memory already, and each is decoded once, into new memory or always into the same, whichever is
faster; nothing is cropped or copied. On a machine that does other work ``--clock cpu`` counts processor time only; of
two processes the longer one counts.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.slide_files import write_slide
from benchmarks.slide_readers import EDGE, READERS, decode_into_new, decode_into_one, streams_of
from tissuemake.histology.jpeg_tiles import JpegTiledSlide
from tissuemake.histology.slide import open_slide

SLIDE = 20_000
GIANT = 100_000
# Tiles along each side of the part that is read: 10,752 pixels, 350 MB of RGB, five times the cache.
SIDE = 48
CLOCKS = {"wall": perf_counter, "cpu": process_time}
LIMIT = "limit: decoding alone"


def rates(path: Path, repeats: int, side: int, clock: Callable[[], float]) -> Iterator[dict]:
    """Tiles per second: one row per reader, way of asking and repeat."""
    steps = (SLIDE - side * EDGE) // 2 + EDGE * np.arange(side)
    raster = np.stack(np.meshgrid(steps, steps), axis=2).reshape(-1, 2)
    ways = {
        "in raster order": [raster],
        "random": [np.random.default_rng(0).permutation(raster)],
        "2 processes": np.array_split(raster, 2),
    }
    for repeat in range(-1, repeats):  # the first is to warm up
        for way, parts in ways.items():
            streams = [streams_of(path, part) for part in parts]
            seconds = {
                name: _seconds([(read, (path, part)) for part in parts], clock)
                for name, read in READERS.items()
            }
            seconds[LIMIT] = min(
                _seconds([(decode, (some,)) for some in streams], clock)
                for decode in (decode_into_new, decode_into_one)
            )
            if repeat >= 0:
                for name, took in seconds.items():
                    yield {"reader": name, "way": way, "repeat": repeat, "rate": len(raster) / took}


def _seconds(tasks: list[tuple[Callable, tuple]], clock: Callable[[], float]) -> float:
    """Of the task that takes longest; several run at once, each in a process of its own."""
    if len(tasks) == 1:
        ((work, arguments),) = tasks
        started = clock()
        work(*arguments)
        return clock() - started
    context = multiprocessing.get_context("fork")
    barrier, taken = context.Barrier(len(tasks)), context.SimpleQueue()

    def run(work: Callable, arguments: tuple) -> None:
        barrier.wait()
        started = clock()
        work(*arguments)
        taken.put(clock() - started)

    workers = [context.Process(target=run, args=task) for task in tasks]
    for worker in workers:
        worker.start()
    longest = max(taken.get() for _ in workers)
    for worker in workers:
        worker.join()
    return longest


def rate_table(measured: pd.DataFrame) -> pd.DataFrame:
    """Medians, and the median over repeats of the share of the limit in the same repeat."""
    rate = measured.pivot(index=["way", "repeat"], columns="reader", values="rate")
    share = rate.div(rate[LIMIT], axis=0)
    cells = {
        (name, way): f"{rate.loc[way][name].median():,.0f} ({share.loc[way][name].median():.2f})"
        for name in [*READERS, LIMIT]
        for way in measured["way"].unique()
    }
    return pd.Series(cells).unstack().loc[[*READERS, LIMIT], list(measured["way"].unique())]


def resized(folder: Path, picture: np.ndarray, repeats: int, clock: Callable[[], float]) -> pd.DataFrame:
    """Tiles per second where the tiles' scale is not that of the full resolution; the same with PIL's bicubic."""
    path = write_slide(folder / "resized.tif", picture, SLIDE, mpp=0.25)
    cases = {
        "0.5 µm/px from 0.25, level at 0.5": (JpegTiledSlide(path), 2.0),
        "0.5 µm/px from 0.25, no such level": (_only_first(JpegTiledSlide(path)), 2.0),
        "0.5 µm/px from 0.688": (JpegTiledSlide(path), 0.5 / 0.688),
    }
    rows = {}
    for name, (slide, downsample) in cases.items():
        corners = 500 + np.stack(np.meshgrid(*[np.arange(24)] * 2), axis=2).reshape(-1, 2) * EDGE * downsample
        taken = {"ours": [], "with PIL": []}
        for _ in range(repeats + 1):
            for way in taken:
                started = clock()
                if way == "ours":
                    for _ in slide.read_many(corners, EDGE, EDGE, downsample):
                        pass
                else:
                    _read_with_pil(slide, corners, downsample)
                taken[way].append(len(corners) / (clock() - started))
        rows[name] = {way: f"{np.median(each[1:]):,.0f}" for way, each in taken.items()}
    return pd.DataFrame(rows).T


def _only_first(slide: JpegTiledSlide) -> JpegTiledSlide:
    slide.levels, slide.downsamples = slide.levels[:1], slide.downsamples[:1]
    return slide


def _read_with_pil(slide: JpegTiledSlide, corners: np.ndarray, downsample: float) -> None:
    level = max(i for i, each in enumerate(slide.downsamples) if each <= downsample * 1.01 or i == 0)
    scale = slide.downsamples[level]
    for x, y in corners:
        side = round(EDGE * downsample / scale)
        region = slide.read_level(level, round(x / scale), round(y / scale), side, side)
        if side != EDGE:
            np.asarray(Image.fromarray(region).resize((EDGE, EDGE), Image.Resampling.BICUBIC))


def giant(folder: Path, picture: np.ndarray) -> dict[str, str]:
    """Open, shrink and cut a slide of 100,000 × 100,000 pixels, in a new process whose memory is its own."""
    path = write_slide(folder / "giant.tif", picture, GIANT, tissue=True)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    worker = context.Process(target=_read_giant, args=(path, theirs))
    worker.start()
    found = ours.recv()
    worker.join()
    return found


def _read_giant(path: Path, results) -> None:
    before = _peak()
    started = perf_counter()
    with open_slide(path) as slide:
        opened = perf_counter() - started
        picture, _ = slide.thumbnail(2000)
        looked = perf_counter() - started - opened
        steps = np.arange(0, GIANT - EDGE, EDGE)
        corners = np.stack(np.meshgrid(steps, steps), axis=2).reshape(-1, 2)
        order = slide.reading_order(corners, EDGE, EDGE)
        started = perf_counter()
        part = corners[order[len(order) // 2 :][:5000]]
        read = sum(1 for _ in slide.read_many(part, EDGE, EDGE))
        rate = read / (perf_counter() - started)
    results.send(
        {
            "size": f"{slide.dimensions[0]:,} × {slide.dimensions[1]:,}",
            "opened": f"{opened:.2f} s",
            "thumbnail": f"{picture.shape[1]} × {picture.shape[0]} in {looked:.2f} s",
            "tiles in all": f"{len(corners):,}",
            "read of them": f"{read:,} at {rate:,.0f}/s",
            "peak memory": f"{_peak():,.0f} MB ({before:,.0f} MB before the slide was opened)",
        }
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def picture_of(data: Path | None) -> np.ndarray:
    """H&E at 0.5 µm per pixel: tissue of the Aperio slide CMU-1 and its mirror images, else drawn."""
    slide = data / "wsi" / "CMU-1-Small-Region.svs" if data else None
    if slide and slide.is_file():
        with open_slide(slide) as region:
            quarter = region.read(720, 1900, 1024, 1024)
        half = np.concatenate([quarter, quarter[:, ::-1]], axis=1)
        return np.concatenate([half, half[::-1]])
    y, x = np.indices((2048, 2048)) / 2048 * 2 * np.pi
    waves = np.stack([np.sin(9 * x) * np.cos(7 * y), np.sin(31 * x + 5 * y), np.cos(23 * y)], axis=2)
    noise = np.random.default_rng(0).normal(0, 6, waves.shape)
    return np.clip((205, 140, 190) + 30 * waves + noise, 0, 255).astype(np.uint8)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("TISSUEMAKE_DATA"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--side", type=int, default=SIDE, help="tiles along each side of the part that is read"
    )
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    clock = CLOCKS[options.clock]
    picture = picture_of(Path(options.data) if options.data else None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write_slide(folder / "slide.tif", picture, SLIDE)
        load = f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        print(
            f"{EDGE}-px tiles/s by {options.clock} time, {options.side}² tiles of a {SLIDE:,}² JPEG slide, median of "
            f"{options.repeats} (share of the limit); load {load}\n"
        )
        found = rates(path, options.repeats, options.side, clock)
        print(rate_table(pd.DataFrame(found)).to_markdown(), flush=True)
        print(f"\nOther scales, {EDGE}-px tiles/s\n")
        print(resized(folder, picture, options.repeats, clock).to_markdown(), flush=True)
        print("\nA giant\n")
        print(pd.Series(giant(folder, picture)).rename("").to_markdown())


if __name__ == "__main__":
    main()
