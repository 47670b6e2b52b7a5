"""H&E tiles of a fixed physical size, cut from a slide by all cores into one tile file."""

import multiprocessing
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from tissuemake.contracts import INGESTED, read_annotations
from tissuemake.errors import InputError
from tissuemake.files import atomic
from tissuemake.histology.readers import FlatSlide
from tissuemake.histology.slide import open_slide
from tissuemake.histology.stain_normalization import StainNormalizer, fit_normalizer
from tissuemake.histology.tile_flags import (
    LEAST_FOCUS,
    MOST_FOLD,
    MOST_PEN,
    fold_limit,
    fold_share,
    pen_share,
    sharpness,
)
from tissuemake.histology.tile_plan import (
    FEWEST_SOURCE_PX,
    LEAST_TISSUE,
    TissueImage,
    find_image,
    plan_tiles,
)
from tissuemake.histology.tile_store import ROWS_IN_BATCH, TileWriter, encode_jpeg
from tissuemake.provenance import measured

# Tiles on which a slide's sharpness and staining are measured before any is written.
LOOKED_AT = 64
# What a process cuts in a row: where one part ends and the next begins, the slide's tiles are decoded twice, a fifth of
# them for 256 rows and a twelfth for 1,024.
MOST_BATCHES_IN_PART = 4


def tile_slide(
    ingested: Path,
    output: Path,
    *,
    tile_um: float = 112.0,
    tile_px: int = 224,
    grid: bool = True,
    overlap: float = 0.0,
    stain_normalization: str = "",
    image: str = "",
    processes: int = 1,
) -> None:
    """Cut a sample's H&E image into tiles and write them, some hundred in memory at a time.

    Spot tiles (``kind`` "spot", ``tile`` the barcode) are centred on each spot in tissue. Bins, cells and
    more than 20,000 spots get none, because theirs overlap many times: they belong to the grid tile that they
    lie in. Grid tiles ("grid", ``gROW_COL``) start every ``tile_um * (1 - overlap)`` µm: without overlap ROW is
    ``floor(y * microns_per_pixel / tile_um)``, COL the same of x (`grid_cells`). They are written where at least a
    quarter is tissue, of a part on which observations lie, and where a tile is fewer than 16 pixels of the image
    only if an observation lies in it. Column ``mpp`` is µm per pixel of the image they were cut from, whatever
    ``size_um / size_px`` is; ``focus``, ``pen``, ``fold`` and ``usable`` are explained in
    `tissuemake.histology.tile_flags`.
    Rows stand in the order in which the slide is read best, the same for any number of processes.

    Parameters
    ----------
    ingested
        ``ingested.h5ad``. Its full-resolution image is used if it exists, else its hires image; a sample
        without an image gives a file without rows.
    tile_um, tile_px
        Edge of a tile on the tissue (µm) and in the output (pixels).
    grid, overlap
        Whether grid tiles are cut, and by which share of the edge they overlap.
    stain_normalization
        ``macenko`` or ``reinhard``: fitted once on the slide's tissue. Flags are those of the colours as scanned.
    image
        A full-resolution image to use instead of the recorded one.
    processes
        How many cut at once.

    Raises
    ------
    InputError
        ``unreadable_slide`` when the image is damaged, ``bad_overlap``, ``bad_processes``, ``unknown_method``.
    """
    if processes < 1:
        raise InputError(
            "bad_processes", f"{processes} processes cannot cut tiles.", "Let one or more cut (processes)."
        )
    options = {"tile_um": tile_um, "tile_px": tile_px, "overlap": overlap}
    with atomic(output) as partial:
        writer = TileWriter(partial)
        with measured("tile_slide", **options, stain_normalization=stain_normalization) as provenance:
            sample = read_annotations(ingested, INGESTED)
            found = find_image(sample, image)
            if found is None:
                provenance.update({"image": "", "note": "no image: no tiles"})
            else:
                with found.slide:
                    plan = plan_tiles(sample, found, tile_um, grid=grid, overlap=overlap)
                    cutter, plan = _prepare(found, plan, tile_um, tile_px, stain_normalization)
                    provenance.update(_describe(found, cutter))
                    provenance.update(_write(writer, cutter, plan, processes))
        writer.close(provenance)


@dataclass(frozen=True)
class Cutter:
    """Everything that a process needs to cut tiles.

    Attributes
    ----------
    typical
        Sharpness of the slide's typical tile, to which ``focus`` is relative.
    folded
        Density from which the slide's tissue is folded.
    """

    image: TissueImage
    tile_um: float
    tile_px: int
    typical: float = 1.0
    folded: float = 1.0
    normalize: StainNormalizer = field(default_factory=StainNormalizer)

    @property
    def pixel_um(self) -> float:
        """Edge of a tile's pixel on the tissue."""
        return self.tile_um / self.tile_px

    @property
    def downsample(self) -> float:
        """Slide pixels per pixel of a tile."""
        return self.pixel_um / self.image.mpp

    def corners(self, plan: pd.DataFrame) -> np.ndarray:
        """Upper left corners (n, 2) in whole pixels of the slide: tiles at native size are plain crops."""
        half = self.tile_px * self.downsample / 2
        return np.rint(plan[["x", "y"]].to_numpy(float) * self.image.scale - half)

    def pixels(self, plan: pd.DataFrame) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (row of `plan`, tile as scanned), in the order that suits the slide."""
        return self.image.slide.read_many(self.corners(plan), self.tile_px, self.tile_px, self.downsample)

    def cut(self, plan: pd.DataFrame) -> pd.DataFrame:
        """Return `plan` with pictures, flags and sizes: rows of a tile file."""
        jpegs = np.empty(len(plan), object)
        focus, pen, fold = np.empty((3, len(plan)), np.float32)
        for row, tile in self.pixels(plan):
            focus[row] = sharpness(tile) / self.typical
            pen[row] = pen_share(tile, self.pixel_um)
            fold[row] = fold_share(tile, self.pixel_um, self.folded)
            jpegs[row] = encode_jpeg(self.normalize(tile))
        seen = (plan["tissue_fraction"] >= LEAST_TISSUE).to_numpy()
        return plan.assign(
            size_px=self.tile_px,
            size_um=self.tile_um,
            mpp=self.image.mpp,
            focus=focus,
            pen=pen,
            fold=fold,
            usable=seen & (focus >= LEAST_FOCUS) & (pen < MOST_PEN) & (fold < MOST_FOLD),
            jpeg=jpegs,
        )


def _prepare(
    image: TissueImage, plan: pd.DataFrame, tile_um: float, tile_px: int, stain_normalization: str
) -> tuple[Cutter, pd.DataFrame]:
    """Look at some tiles of the slide, and put the plan into the order of reading."""
    cutter = Cutter(image, tile_um, tile_px)
    order = image.slide.reading_order(cutter.corners(plan), tile_px, tile_px, cutter.downsample)
    plan = plan.iloc[order].reset_index(drop=True)
    whole = np.flatnonzero(plan["tissue_fraction"] >= min(0.5, plan["tissue_fraction"].max()))
    some = whole[np.linspace(0, len(whole) - 1, min(LOOKED_AT, len(whole))).astype(int)]
    tiles = [tile for _, tile in cutter.pixels(plan.iloc[some])]
    clean = [tile for tile in tiles if pen_share(tile, cutter.pixel_um) < MOST_PEN] or tiles
    if not clean:
        return cutter, plan
    typical = float(np.median([sharpness(tile) for tile in clean])) or 1.0
    folded = fold_limit(clean, cutter.pixel_um)
    normalize = fit_normalizer(stain_normalization, np.stack(clean))
    return replace(cutter, typical=typical, folded=folded, normalize=normalize), plan


def _write(writer: TileWriter, cutter: Cutter, plan: pd.DataFrame, processes: int) -> dict[str, int]:
    """Write all tiles of `plan` and return how many were flagged."""
    batches = min(max(1, len(plan) // (2 * processes * ROWS_IN_BATCH)), MOST_BATCHES_IN_PART)
    rows_in_part = batches * ROWS_IN_BATCH
    parts = [plan.iloc[start : start + rows_in_part] for start in range(0, len(plan), rows_in_part)]
    flagged = {"blurred": 0, "under_pen": 0, "folded": 0}
    pause = 0.5 if sys.stderr.isatty() else 30.0  # a log gets a line now and then
    with tqdm(total=len(plan), desc=cutter.image.slide.path.name, unit="tile", mininterval=pause) as progress:
        for rows in cut_all(cutter, parts, min(processes, len(parts))):
            writer.write(rows)
            flagged["blurred"] += int((rows["focus"] < LEAST_FOCUS).sum())
            flagged["under_pen"] += int((rows["pen"] >= MOST_PEN).sum())
            flagged["folded"] += int((rows["fold"] >= MOST_FOLD).sum())
            progress.update(len(rows))
    return flagged


def cut_all(cutter: Cutter, parts: list[pd.DataFrame], processes: int) -> Iterator[pd.DataFrame]:
    """Rows of each of `parts` in their order; a process waits with what nobody took yet."""
    if processes <= 1:
        yield from map(cutter.cut, parts)
        return
    # Forked, so that a picture that is in memory is there once.
    context = multiprocessing.get_context("fork")
    workers = []
    try:
        for first in range(processes):
            ours, theirs = context.Pipe(duplex=False)
            worker = context.Process(
                target=_work, args=(cutter, parts[first::processes], theirs), daemon=True
            )
            worker.start()
            theirs.close()
            workers.append((worker, ours))
        for number in range(len(parts)):
            yield _received(workers[number % processes][1])
    finally:
        for worker, ours in workers:
            ours.close()
            worker.terminate()
            worker.join()


def _work(cutter: Cutter, parts: list[pd.DataFrame], results: Connection) -> None:
    """In a new process: a file handle of its own, and no threads, which a fork does not carry."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    try:
        if not isinstance(cutter.image.slide, FlatSlide):
            image = replace(cutter.image, slide=open_slide(cutter.image.slide.path))
            cutter = replace(cutter, image=image)
        for part in parts:
            results.send(cutter.cut(part))
    except InputError as error:
        results.send(error)


def _received(results: Connection) -> pd.DataFrame:
    try:
        received = results.recv()
    except EOFError as error:
        raise ChildProcessError(
            "A process that cut tiles was ended from outside, or failed as above."
        ) from error
    if isinstance(received, InputError):
        raise received
    return received


def _describe(image: TissueImage, cutter: Cutter) -> dict:
    source_px = cutter.tile_um / image.mpp
    notes = [cutter.normalize.note] if cutter.normalize.note else []
    if source_px < FEWEST_SOURCE_PX:
        notes.append(
            f"a tile is only {source_px:.1f} pixels of the image wide; give the full-resolution image"
        )
    return {
        "image": image.slide.path.name,
        "mpp": image.mpp,
        "source_px": source_px,
        "typical_sharpness": cutter.typical,
        "fold_limit": cutter.folded,
        "stain_normalization": cutter.normalize.method,
        "note": "; ".join(notes),
    }
