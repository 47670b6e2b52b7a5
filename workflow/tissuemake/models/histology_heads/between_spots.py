"""Core: values between and inside spots, bent until they average back to what was measured."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree

# Standard deviation of the kernel that spreads what the image leaves unexplained, in pitches, and the weight of its
# prior, none, in spots: chosen on simulated tissue (tests/benchmarks/HISTOLOGY.md), flat from 0.8 to 1.2 and 0.5 to 2.
KERNEL_PITCHES = 0.9
PRIOR_SPOTS = 2.0
# The correction around a spot fades as a Gaussian of this many diameters: 0.3 at the rim, 0.02 at 1.8 radii.
BUMP_DIAMETERS = 1 / 3
KERNEL_REACH = 3.5  # standard deviations
ROUNDS = 10
# No factor is larger: a molecule where hardly any was predicted would blow up its surroundings.
LARGEST_FACTOR = 100.0


@dataclass(frozen=True)
class Lattice:
    """Fine positions among the spots that were measured.

    Attributes
    ----------
    owner
        (positions,) the spot inside which each lies, -1 between spots.
    bumps
        (positions, spots) sparse: how much of a spot's correction reaches a position, at most 1 in all.
    """

    owner: np.ndarray
    bumps: sp.csr_matrix

    @property
    def member(self) -> sp.csr_matrix:
        """(spots, positions) with which a product is the mean inside each spot; a spot may hold none."""
        inside = np.flatnonzero(self.owner >= 0)
        count = np.bincount(self.owner[inside], minlength=self.bumps.shape[1])
        shape = (self.bumps.shape[1], len(self.owner))
        share = 1 / count[self.owner[inside]]
        return sp.csr_matrix((share, (self.owner[inside], inside)), shape=shape)


def place(positions: np.ndarray, spots: np.ndarray, diameter: float, step: float) -> Lattice:
    """Lay fine `positions` (n, 2), `step` apart, over `spots` (m, 2); all in one unit.

    A position is inside a spot if it lies under it; where spots are too small for the step to put one under each,
    within half the diagonal of a step.
    """
    away, nearest = cKDTree(spots).query(positions)
    owner = np.where(away <= max(diameter / 2, step * np.sqrt(0.5)), nearest, -1)
    bumps = _kernel(positions, spots, diameter * BUMP_DIAMETERS)
    total = np.maximum(np.asarray(bumps.sum(axis=1)), 1)
    return Lattice(owner, bumps.multiply(1 / total).tocsr())


def spread(residual: np.ndarray, spots: np.ndarray, positions: np.ndarray, pitch: float) -> np.ndarray:
    """What the spots' `residual` (spots, genes) says of `positions`: a kernel mean, shrunk where spots are few."""
    weights = _kernel(positions, spots, KERNEL_PITCHES * pitch)
    return (weights @ residual) / (np.asarray(weights.sum(axis=1)) + PRIOR_SPOTS)


def conserve(prediction: np.ndarray, measured: np.ndarray, lattice: Lattice) -> np.ndarray:
    """Bend `prediction` until the positions inside every spot average to what was measured there.

    It is multiplied with 1 plus a bump around every spot, whose height makes the average right. Bumps fade where the
    spot ends, so no seam runs around it, and the counting noise of one spot does not reach the next. Where even a
    factor of 0 in the middle leaves too much (nothing was counted), all inside is scaled.

    Parameters
    ----------
    prediction
        (positions, genes), positive.
    measured
        (spots, genes), linear scale, not negative.

    Returns
    -------
    array
        (positions, genes).
    """
    if prediction.min(initial=np.inf) <= 0:
        raise ValueError("predictions to be bent are positive: zero times any factor is zero")
    member = lattice.member
    plain = member @ prediction
    # What one unit of a spot's own bump adds to its average; others' bumps are small there, hence the rounds.
    own = np.zeros(len(lattice.owner))
    inside = np.flatnonzero(lattice.owner >= 0)
    own[inside] = np.asarray(lattice.bumps[inside, lattice.owner[inside]]).ravel()
    gain = np.maximum(member @ (prediction * own[:, None]), 1e-12)
    height = np.zeros_like(measured)
    found = plain
    for _ in range(ROUNDS):
        height = np.clip(height + (measured - found) / gain, -1, LARGEST_FACTOR)
        bent = prediction * np.maximum(1 + lattice.bumps @ height, 1e-9)
        found = member @ bent
    rest = np.divide(measured, found, out=np.ones_like(measured), where=found > 0)
    bent[inside] *= rest[lattice.owner[inside]]
    return bent


def _kernel(positions: np.ndarray, spots: np.ndarray, width: float) -> sp.csr_matrix:
    """Gaussian (positions, spots) of distance, not normalised; 0 beyond `KERNEL_REACH` widths."""
    pairs = cKDTree(positions).sparse_distance_matrix(
        cKDTree(spots), KERNEL_REACH * width, output_type="coo_matrix"
    )
    weights = np.exp(-0.5 * (pairs.data / width) ** 2)
    return sp.csr_matrix((weights, (pairs.row, pairs.col)), shape=(len(positions), len(spots)))
