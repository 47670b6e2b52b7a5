"""Visium HD: molecules caught in 2 µm bins, their sums over 8 and 16 µm, and cells segmented on the H&E."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.simulate.expression import calibrate, platform_efficiency, thin
from tissuemake.simulate.outlines import Outlines, one_by_one, outline_cells, scatter
from tissuemake.simulate.tissue import Section, stream
from tissuemake.simulate.windows import Window, strip

BINS_UM = (2, 8, 16)
MEAN_UMI_8UM = 230
_DIFFUSED = 0.15
_DIFFUSION_UM = 5.0
_CHUNK = 1_000_000  # molecules placed at a time


@dataclass(frozen=True)
class HDCapture:
    """What a Visium HD slide saw.

    Parameters
    ----------
    window
        Where it lay on the section.
    counts
        By bin size (µm): (bins, probes) in raster order, glass included.
    in_tissue
        By bin size: (rows, cols) bool.
    probes
        Genes that have probes, as `Biology.genes`.
    cells
        Index (into the section's cells) of the segmented ones; their outlines; and for every 2 µm bin the
        segmented cell it lies in (-1: none) and whether in the nucleus.
    """

    window: Window
    counts: dict[int, sp.csr_matrix]
    in_tissue: dict[int, np.ndarray]
    probes: pd.DataFrame
    cells: np.ndarray
    outlines: Outlines
    cell_of_bin: np.ndarray
    bin_in_nucleus: np.ndarray


def capture_bins(
    section: Section,
    nuclei: pd.DataFrame,
    molecules: sp.csr_matrix,
    genes: pd.DataFrame,
    seed: int,
    gene_shift: float,
    mean_umi_8um: float = MEAN_UMI_8UM,
) -> HDCapture:
    """Let 2 µm bins capture `molecules` (cells, genes) of the cells in a strip of the section."""
    window = strip(section, 0.17, 0.22, 16.0)
    rng = stream(seed, "visium hd")
    # The probe panel leaves some genes out.
    probed = np.sort(rng.permutation(len(genes))[: round(0.95 * len(genes))])
    shape = (round(window.height / 2), round(window.width / 2))
    tissue = _tissue_bins(section, window)
    near = np.flatnonzero(window.holds(nuclei, 20.0))
    outlines = outline_cells(nuclei.iloc[near])
    part = molecules[near][:, probed]
    efficiency = platform_efficiency(seed, "visium hd", len(genes), gene_shift)[probed]
    inside = window.holds(nuclei.iloc[near])
    totals = np.asarray(part[inside].sum(axis=0)).ravel() / max(tissue[8].sum(), 1)
    caught = thin(part, calibrate(efficiency, totals, mean_umi_8um), rng)
    counts = _bin_molecules(caught, outlines, window, shape, rng)
    rows, cols = (axis.ravel() for axis in np.indices(shape))
    middle = np.column_stack([window.left + 2 * cols + 1.0, window.top + 2 * rows + 1.0])
    cell, in_nucleus, _ = outlines.locate(middle)
    cell[~tissue[2].ravel()] = -1
    seen = np.unique(cell[cell >= 0])
    renumber = np.full(len(near) + 1, -1)
    renumber[seen] = np.arange(len(seen))
    kept = Outlines(outlines.centres[seen], outlines.nucleus[seen], outlines.cell[seen])
    tables = {2: counts} | {size: _coarser(counts, shape, size // 2) for size in BINS_UM[1:]}
    return HDCapture(
        window, tables, tissue, genes.iloc[probed], near[seen], kept, renumber[cell], in_nucleus & (cell >= 0)
    )


def _tissue_bins(section, window):
    """Tissue is decided on 16 µm bins and inherited, so that filtered tables sum up exactly."""
    rows, cols = round(window.height / 16), round(window.width / 16)
    x = window.left + 16 * np.arange(cols) + 8
    y = window.top + 16 * np.arange(rows) + 8
    coarse = section.zone_at(*np.meshgrid(x, y)) >= 0
    return {size: coarse.repeat(16 // size, axis=0).repeat(16 // size, axis=1) for size in BINS_UM}


def _bin_molecules(caught, outlines, window, shape, rng):
    """(bins, probes) from molecules placed in their cells."""
    cell, gene = one_by_one(caught.indptr, caught.indices, caught.data)
    start = np.array([window.left, window.top])
    bins = np.empty(len(cell), dtype=np.int64)
    for first in range(0, len(cell), _CHUNK):
        part = slice(first, first + _CHUNK)
        place = _wander(scatter(outlines, cell[part], rng.random(len(cell[part])) < 0.35, rng), window, rng)
        col, row = np.floor((place - start) / 2).astype(np.int64).T
        inside = (col >= 0) & (col < shape[1]) & (row >= 0) & (row < shape[0])
        bins[part] = np.where(inside, row * shape[1] + col, -1)
    inside = bins >= 0
    ones = np.ones(inside.sum(), dtype=np.int32)
    table = sp.coo_matrix((ones, (bins[inside], gene[inside])), shape=(shape[0] * shape[1], caught.shape[1]))
    return table.tocsr()


def _wander(place, window, rng):
    """Some molecules diffuse a little before they are caught, a few end anywhere."""
    moved = rng.random(len(place)) < _DIFFUSED
    place[moved] += rng.normal(0, _DIFFUSION_UM, (moved.sum(), 2))
    stray = rng.random(len(place)) < 0.01
    start = np.array([window.left, window.top])
    place[stray] = start + rng.random((stray.sum(), 2)) * (window.width, window.height)
    return place


def _coarser(counts, shape, factor):
    """Sum `factor` x `factor` bins."""
    rows, cols = (axis.ravel() for axis in np.indices(shape))
    target = (rows // factor) * (shape[1] // factor) + cols // factor
    member = sp.csr_matrix((np.ones(len(target), dtype=np.int32), (target, np.arange(len(target)))))
    return (member @ counts).tocsr()


def bin_barcodes(size: int, shape: tuple[int, int]) -> np.ndarray:
    """Barcodes of all bins of `size` µm in raster order, e.g. ``s_008um_00044_00076-1``."""
    return np.array(
        [f"s_{size:03d}um_{row:05d}_{col:05d}-1" for row in range(shape[0]) for col in range(shape[1])],
        dtype=object,
    )


def cell_barcodes(count: int) -> np.ndarray:
    """Names of segmented cells, e.g. ``cellid_000000001-1``."""
    return np.array([f"cellid_{number:09d}-1" for number in range(1, count + 1)], dtype=object)


def cell_counts(capture: HDCapture) -> sp.csr_matrix:
    """(segmented cells, probes): sums of the 2 µm bins in each cell."""
    bins = np.flatnonzero(capture.cell_of_bin >= 0)
    member = sp.csr_matrix(
        (np.ones(len(bins), dtype=np.int32), (capture.cell_of_bin[bins], bins)),
        shape=(len(capture.cells), len(capture.cell_of_bin)),
    )
    return (member @ capture.counts[2]).tocsr()
