"""The bottleneck: genes read from named, signed activities of the sets they belong to, and from little besides.

Gene = level + sum over its sets of weight x activity + weight x library size + a free say of the image, which is of
few directions, heavily penalised, and can be switched off. Library size stands among the activities by name, because
normalised log expression follows it and would otherwise find a way through the pathways.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tissuemake.models.quadflow.ridge import solve

DEPTH = "library_size"
# Per spot: of the weights of a gene's sets, and of the free say.
PENALTY = 0.1
FREE_PENALTY = 1.0


@dataclass(frozen=True)
class GeneLayer:
    """Genes from activities, all in units of deviations within slides.

    Attributes
    ----------
    mask
        bool (P + 1, G): set membership, and the library size in the last row.
    weights
        float32 (P + 1, G), 0 wherever `mask` is not.
    down, up
        float32 (f, r) and (r, G): the free say; r is 0 where it is off.
    """

    mask: Tensor
    weights: Tensor
    down: Tensor
    up: Tensor

    def __call__(self, activities: Tensor, inputs: Tensor | None) -> Tensor:
        """Return genes (n, G) from activities with depth (n, P + 1) and image inputs (n, f), None for no free say."""
        said = activities @ (self.weights * self.mask)
        return said if inputs is None or not self.up.numel() else said + (inputs @ self.down) @ self.up

    def state(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        return {name: getattr(self, name) for name in ("mask", "weights", "down", "up")}


def membership(sets: Sequence[str], members: Mapping[str, Sequence[str]], genes: Sequence[str]) -> np.ndarray:
    """Return bool (P + 1, G), the last row the library size, which every gene may read."""
    place = {gene: number for number, gene in enumerate(genes)}
    mask = np.zeros((len(sets) + 1, len(genes)), dtype=bool)
    for row, name in enumerate(sets):
        mask[row, [place[gene] for gene in members.get(name, ()) if gene in place]] = True
    mask[-1] = True
    return mask


def fit_gene_layer(
    activities: np.ndarray, inputs: np.ndarray, values: np.ndarray, mask: np.ndarray, free: int
) -> GeneLayer:
    """Solve the layer on what was measured.

    With *measured* activities, because then weights mean what the sets mean; by linearity the mean of a gene given an
    image is the same sum of the mean activities. The free say is a ridge from the image to what is left.

    Parameters
    ----------
    activities
        (n, P + 1), about 0.
    inputs
        (n, f) of the image.
    values
        (n, G), about 0.
    free
        Directions of the free say.
    """
    weights = masked_ridge(activities, values, mask)
    down, up = np.zeros((inputs.shape[1], 0)), np.zeros((0, values.shape[1]))
    if free:
        rest = values - activities @ weights
        up = _directions(rest, free)
        down = solve(inputs, rest @ up.T, [FREE_PENALTY])[0]
    return GeneLayer(
        torch.from_numpy(mask), *(torch.from_numpy(part.astype(np.float32)) for part in (weights, down, up))
    )


def _directions(values: np.ndarray, count: int) -> np.ndarray:
    """First principal directions (count, G) of `values` (n, G): what genes have in common is no noise of counting."""
    if len(values) > values.shape[1]:
        return np.linalg.eigh(values.T @ values)[1][:, ::-1][:, :count].T
    left = np.linalg.eigh(values @ values.T)[1][:, ::-1][:, :count]
    found = left.T @ values
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def masked_ridge(activities: np.ndarray, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Ridge weights (P + 1, G) of every gene on those activities that `mask` allows; genes alike are solved at once."""
    inner, product = activities.T @ activities, activities.T @ values
    weights = np.zeros(mask.shape)
    patterns, pattern = np.unique(mask, axis=1, return_inverse=True)
    for number in range(patterns.shape[1]):
        rows, genes = np.flatnonzero(patterns[:, number]), np.flatnonzero(pattern.ravel() == number)
        if len(rows):
            square = inner[np.ix_(rows, rows)] + PENALTY * len(activities) * np.eye(len(rows))
            weights[np.ix_(rows, genes)] = np.linalg.solve(square, product[np.ix_(rows, genes)])
    return weights
