"""Spots on glass: what an array of round capture areas sees of the cells above it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.spatial import cKDTree

from tissuemake.simulate import cell_types
from tissuemake.simulate.expression import calibrate, platform_efficiency
from tissuemake.simulate.tissue import stream

_BLEED_UM = 60.0  # reach of lateral diffusion
_BLEED = 0.10  # share of a spot's molecules that diffused into it
_AMBIENT = 0.015


@dataclass(frozen=True)
class SpotCapture:
    """What a slide with spots saw.

    Parameters
    ----------
    spots
        By barcode, all spots of the array: in_tissue, array_row, array_col, x, y (µm).
    counts
        (spots, genes) integer.
    composition
        (spots, types) cells whose centre lies under the spot.
    """

    spots: pd.DataFrame
    counts: sp.csr_matrix
    composition: pd.DataFrame


def capture_under(
    spots: pd.DataFrame,
    diameter_um: float,
    cells: pd.DataFrame,
    molecules: sp.csr_matrix,
    *,
    platform: str,
    mean_umi: float,
    seed: int,
    gene_shift: float,
) -> SpotCapture:
    """Let `spots` capture `molecules` (cells, genes): from under them, a little from around, and ambient.

    Parameters
    ----------
    spots
        As in `SpotCapture`.
    mean_umi
        Mean count of a spot in tissue.
    """
    rng = stream(seed, f"{platform} capture")
    under, around = _weights(spots, diameter_um, cells)
    tissue = spots["in_tissue"].to_numpy(bool)
    efficiency = platform_efficiency(seed, platform, molecules.shape[1], gene_shift)
    # The indices are shared: of a large section a copy is hundreds of MB.
    weighed = sp.csr_matrix(
        (molecules.data.astype(np.float32), molecules.indices, molecules.indptr), shape=molecules.shape
    )
    mixed = ((1 - _BLEED) * under + _BLEED * around) @ weighed
    totals = np.asarray(mixed[tissue].mean(axis=0)).ravel()
    rate = mixed @ sp.diags(calibrate(efficiency, totals, mean_umi * (1 - _AMBIENT)))
    ambient = totals * efficiency
    ambient *= mean_umi * _AMBIENT / ambient.sum()
    depth = np.exp(rng.normal(-0.03, 0.25, len(spots)))
    dense = (np.asarray(rate.todense()) + ambient) * depth[:, None]
    counts = sp.csr_matrix(rng.poisson(dense).astype(np.int32))
    kinds = np.eye(len(cell_types.NAMES), dtype=np.int64)[cells["cell_type"].to_numpy()]
    shares = (under > 0).astype(np.int64) @ kinds
    return SpotCapture(spots, counts, pd.DataFrame(shares, index=spots.index, columns=list(cell_types.NAMES)))


def _weights(spots, diameter_um, cells):
    """(spots, cells): 1 under the spot; and around it, a Gaussian of distance that sums to the spot's area."""
    here, there = cKDTree(spots[["x", "y"]]), cKDTree(cells[["x", "y"]])
    pairs = here.sparse_distance_matrix(there, 2.5 * _BLEED_UM, output_type="coo_matrix").tocsr()
    under, around = pairs.copy(), pairs
    under.data = (pairs.data <= diameter_um / 2).astype(np.float64)
    under.eliminate_zeros()
    area = diameter_um**2 / 8 / _BLEED_UM**2  # spot area over the Gaussian's integral
    around.data = area * np.exp(-0.5 * (pairs.data / _BLEED_UM) ** 2)
    return under, around
