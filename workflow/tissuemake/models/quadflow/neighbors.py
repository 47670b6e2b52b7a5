"""Which patches lie around a patch, how far in µm and which way: the graph of the flow among patches."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from scipy.spatial import cKDTree
from torch import Tensor

# Further away than so many typical nearest distances are no neighbours: holes, islands.
REACH = 4.0
# Of a mean over surroundings: squares in which patches are gathered, and where the Gaussian ends, in radii.
SQUARE = 0.5
REACH_RADII = 2.5
BLOCK = 20_000


@dataclass(frozen=True)
class Around:
    """Neighbours of n patches, nearest first, k places each.

    Attributes
    ----------
    index
        int64 (n, k), -1 in empty places.
    offset_um
        float32 (n, k, 2), from the patch to its neighbour; 0 in empty places.
    """

    index: Tensor
    offset_um: Tensor

    def to(self, device: torch.device | str) -> "Around":
        """On another device."""
        return Around(self.index.to(device), self.offset_um.to(device))


def around(positions: np.ndarray, k: int) -> Around:
    """Return the `k` nearest others of each of `positions` (n, 2) in µm, by one k-d tree."""
    n = len(positions)
    index = np.full((n, k), -1, dtype=np.int64)
    reach = min(k, n - 1)
    if reach > 0:
        far, near = cKDTree(positions).query(positions, k=reach + 1)
        own = near == np.arange(n)[:, None]
        own[~own.any(axis=1), -1] = True  # more twins in one place than were asked for
        far, near = far[~own].reshape(n, reach), near[~own].reshape(n, reach)
        typical = np.median(far[:, 0][far[:, 0] > 0]) if (far[:, 0] > 0).any() else 1.0
        index[:, :reach] = np.where(far <= REACH * typical, near, -1)
    offset = np.where(index[:, :, None] >= 0, positions[np.maximum(index, 0)] - positions[:, None], 0)
    return Around(torch.from_numpy(index), torch.from_numpy(offset.astype(np.float32)))


def context(values: np.ndarray, positions: np.ndarray, places: np.ndarray, radius_um: float) -> np.ndarray:
    """Mean of `values` (tiles, f) at `positions` around each of `places` (n, 2), weighed by a Gaussian of `radius_um`.

    Tiles are first gathered in squares of half a radius, so that the cost is linear in them however dense they lie.
    """
    squares = np.floor(positions / (radius_um * SQUARE)).astype(np.int64)
    _, square, count = np.unique(squares, axis=0, return_inverse=True, return_counts=True)
    shape = (len(count), len(positions))
    total = sp.csr_matrix((np.ones(len(positions)), (square.ravel(), np.arange(len(positions)))), shape=shape)
    middle, sums = (total @ positions) / count[:, None], total @ values
    found = np.empty((len(places), values.shape[1]))
    tree = cKDTree(middle)
    for start in range(0, len(places), BLOCK):
        block = places[start : start + BLOCK]
        pairs = cKDTree(block).sparse_distance_matrix(tree, REACH_RADII * radius_um, output_type="coo_matrix")
        weight = np.exp(-0.5 * (pairs.data / radius_um) ** 2)
        weights = sp.csr_matrix((weight, (pairs.row, pairs.col)), shape=(len(block), len(count)))
        found[start : start + BLOCK] = (weights @ sums) / (weights @ count)[:, None]
    return found
