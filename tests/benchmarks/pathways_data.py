"""Sections of the pathway benchmark with their scores: her2st and simulated tissue with planted programmes.

What is asked is never learnt from: scores of all sections stand on the scale of the teaching ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from benchmarks import histology_encoders as encoders
from benchmarks.histology_sections import PLANTED, REAL, Prepared, Problem, simulated_problem, spot_tiles
from benchmarks.kept_run import Bench
from tissuemake.contracts import EMBEDDINGS, FILTERED, PATHWAYS, read_anndata, read_table, write_anndata
from tissuemake.histology.tile_store import TileStore
from tissuemake.models.histology_heads.ridge import Section
from tissuemake.models.spot_vectors import SpotVectors, read_spot_vectors
from tissuemake.pathways.scaling import fit_scaling
from tissuemake.pathways.scores import score_pathways

# The workflow's own kind of score; the others of `DEPTHS` are asked for beside it.
DEFAULT = "residuals"
HER2ST = tuple(problem for problem in REAL if problem.name.startswith("her2st"))
COLOR, HISTOGRAM = "color", "histogram"
BINS = 16
TILES_AT_ONCE = 256


def planted_problem(seed: int) -> Problem:
    """One tissue per seed, half of which teaches."""
    return simulated_problem(seed, PLANTED)


def prepared(bench: Bench, name: str) -> Prepared:
    """A section as the workflow leaves it."""
    return encoders.Bench(bench.data, bench.work).section(name)


def embedded(bench: Bench, name: str, encoder: str) -> Path:
    """Embeddings of a section by `COLOR` or `HISTOGRAM`; neither was taught anything."""
    if encoder == COLOR:
        return encoders.embedded(encoders.Bench(bench.data, bench.work), COLOR, name, 0)
    section = prepared(bench, name)
    path = bench.work / "embeddings" / f"{section.slide}-{encoder}.h5ad"
    if not path.is_file():
        write_anndata(_histograms(spot_tiles(section)), path, EMBEDDINGS)
    return path


def _histograms(tiles: Path) -> ad.AnnData:
    """Share of each channel's levels in the tiles around spots."""
    with TileStore(tiles) as store:
        rows = np.arange(len(store))
        parts = [
            colour_histogram(store.pixels(part))
            for part in np.array_split(rows, max(1, len(rows) // TILES_AT_ONCE))
        ]
        obs = store.table[["kind", "x", "y", "size_um"]].copy()
    found = ad.AnnData(np.concatenate(parts), obs=obs, uns={"tissuemake": {"encoder": HISTOGRAM}})
    found.var_names = [f"{channel}{level}" for channel in "RGB" for level in range(BINS)]
    return found


def colour_histogram(pixels: np.ndarray) -> np.ndarray:
    """Shares (tiles, 3 x `BINS`) float32 of uint8 pixels (tiles, h, w, 3)."""
    level = pixels.reshape(len(pixels), -1, 3) // (256 // BINS)
    counts = [
        np.apply_along_axis(np.bincount, 1, level[..., channel], minlength=BINS) for channel in range(3)
    ]
    return (np.concatenate(counts, axis=1) / level.shape[1]).astype(np.float32)


def gene_sets(bench: Bench, problem: Problem) -> Path:
    """GMT: the planted programmes of a simulated tissue, Hallmark of a real one."""
    if problem.test.startswith(PLANTED):
        return prepared(bench, problem.test).filtered.parent / "programmes.gmt"
    return bench.data / "genesets" / "h.all.human.symbols.gmt"


def measured(bench: Bench, problem: Problem, name: str, depth: str) -> Path:
    """Scores of a section from its expression, on the scale of the problem's teaching sections."""
    folder = bench.work / "scores" / f"{'+'.join(problem.train)}-{depth}"
    scaling = folder / "scaling.parquet"
    if not scaling.is_file():
        fit_scaling(
            [prepared(bench, taught).filtered for taught in problem.train], gene_sets(bench, problem), scaling
        )
    path = folder / f"{name}.parquet"
    if not path.is_file():
        score_pathways(prepared(bench, name).filtered, gene_sets(bench, problem), scaling, path, depth=depth)
    return path


@lru_cache(maxsize=32)
def scores_of(bench: Bench, problem: Problem, name: str, depth: str) -> pd.DataFrame:
    """Those scores of the pathways that all sections of the problem have."""
    tables = [
        read_table(measured(bench, problem, section, depth), PATHWAYS)
        for section in (name, *problem.train, problem.test)
    ]
    return tables[0][[column for column in tables[0] if all(column in other for other in tables)]]


@dataclass(frozen=True)
class Slide:
    """The spots of a section that have a tile: barcodes, and what a ridge reads (`values`: scores or genes)."""

    barcodes: pd.Index
    section: Section


@lru_cache(maxsize=8)
def _image(filtered: Path, embeddings: Path) -> SpotVectors:
    return read_spot_vectors(filtered, embeddings)


def slide(bench: Bench, name: str, encoder: str, values: pd.DataFrame) -> Slide:
    """A section with the features of an encoder and `values` (spots, k)."""
    image = _image(prepared(bench, name).filtered, embedded(bench, name, encoder))
    barcodes = image.spots.obs_names[image.seen]
    return Slide(
        barcodes,
        Section(
            image.vectors(image.seen),
            values.loc[barcodes].to_numpy(np.float64),
            image.spots.obs["total_counts"].to_numpy(np.float64)[image.seen],
            image.positions[image.seen],
            image.donor,
        ),
    )


def genes_of(bench: Bench, name: str) -> pd.Index:
    """All that the section measures."""
    return _spots(prepared(bench, name).filtered).var_names


@lru_cache(maxsize=4)
def _spots(filtered: Path) -> ad.AnnData:
    return read_anndata(filtered, FILTERED)


def expression_of(bench: Bench, name: str, genes: Sequence[str]) -> pd.DataFrame:
    """log1p of CP10k (spots, genes)."""
    spots = _spots(prepared(bench, name).filtered)
    values = spots[:, list(genes)].X.toarray().astype(np.float64)
    return pd.DataFrame(values, index=spots.obs_names, columns=list(genes))
