"""Which patches lie around a patch, how far in µm and which way: the graph of the flow among patches."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

# Further away than so many typical nearest distances are no neighbours: holes, islands.
REACH = 4.0


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


def mean_over(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Mean of `values` (n, f) over the neighbours `index` (n, k); one's own where there are none."""
    there = index >= 0
    total = np.zeros(values.shape, dtype=np.float64)
    for place in range(index.shape[1]):  # (n, k, f) would be large
        total += values[np.maximum(index[:, place], 0)] * there[:, place, None]
    count = there.sum(axis=1)[:, None]
    return np.where(count > 0, total / np.maximum(count, 1), values)
