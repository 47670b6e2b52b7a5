"""How fast is a slide tiled from file to file, and in how much memory?

``python tests/benchmarks/tile_slides.py --data FOLDER [--giant]`` runs `tile_slide` (reading, flags, JPEG encoding,
writing) on a 20,000² slide with one and two processes, and on the smaller of two pieces of tissue on a 100,000² slide.
Each run has a process of its own.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.slide_files import write_slide
from benchmarks.slides import GIANT, SLIDE, picture_of
from tissuemake.contracts import INGESTED, write_anndata
from tissuemake.histology.tile_store import TileStore
from tissuemake.histology.tiles import tile_slide

MPP = 0.5


def write_cells(path: Path, slide: Path, positions: np.ndarray) -> Path:
    """An ingested sample with cells at `positions` (n, 2) of a slide: grid tiles only."""
    obs = pd.DataFrame({"in_tissue": True}, index=[f"cell{i}" for i in range(len(positions))])
    var = pd.DataFrame({"gene_id": [""]}, index=["A"])
    adata = ad.AnnData(sp.csr_matrix(np.ones((len(positions), 1), np.float32)), obs=obs, var=var)
    adata.obsm["spatial"] = positions.astype(float)
    adata.uns["tissuemake"] = {"sample": "s", "observation": "cell"}
    place = {"microns_per_pixel": MPP}, {"source_image_path": str(slide)}
    adata.uns["spatial"] = {"s": {"images": {}, "scalefactors": place[0], "metadata": place[1]}}
    write_anndata(adata, path, INGESTED)
    return path


def cells_around(x: float, y: float) -> np.ndarray:
    """Some cells, as shares of the slide's edge: single ones may lie in a hole of the tissue."""
    return np.array([x, y]) + np.random.default_rng(0).uniform(-0.05, 0.05, (200, 2))


def run(ingested: Path, output: Path, processes: int, stain_normalization: str = "") -> dict[str, str]:
    """Time and memory of one run; to be asked in a new process."""
    started = perf_counter()
    tile_slide(ingested, output, processes=processes, stain_normalization=stain_normalization)
    seconds = perf_counter() - started
    with TileStore(output) as store:
        tiles = len(store)
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    busy = sum(part.ru_utime + part.ru_stime for part in (own, others))
    return {
        "tiles": f"{tiles:,}",
        "tiles/s": f"{tiles / seconds:,.0f}",
        "tiles per s of processor": f"{tiles / busy:,.0f}",
        "peak MB": f"{own.ru_maxrss / 1024:,.0f}",
        "peak MB of a child": f"{others.ru_maxrss / 1024:,.0f}" if processes > 1 else "",
        "file MB": f"{output.stat().st_size / 1e6:,.0f}",
    }


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("TISSUEMAKE_DATA"))
    parser.add_argument("--giant", action="store_true", help="only the slide of 100,000 × 100,000 pixels")
    options = parser.parse_args()
    picture = picture_of(Path(options.data) if options.data else None)
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.giant:
            path = write_slide(folder / "giant.tif", picture, GIANT, tissue=True)
            cells = write_cells(folder / "i.h5ad", path, cells_around(0.72, 0.45) * GIANT)
            asked = {"100,000², 2 processes": (2,)}
        else:
            path = write_slide(folder / "slide.tif", picture, SLIDE)
            cells = write_cells(folder / "i.h5ad", path, cells_around(0.5, 0.5) * SLIDE)
            asked = {"1 process": (1,), "2 processes": (2,), "2 processes, macenko": (2, "macenko")}
        for label, arguments in asked.items():
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                rows[label] = pool.submit(run, cells, folder / "tiles.arrow", *arguments).result()
            print(label, rows[label], file=sys.stderr)
    print(pd.DataFrame(rows).T.to_markdown())


if __name__ == "__main__":
    main()
