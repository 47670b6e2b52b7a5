"""What the ligand around a spot tells of the spot's target, beyond all other genes of the spot itself.

A ligand with a smooth field and the target it raises are correlated both ways round: cov(target here, ligand there)
equals cov(ligand here, target there). What breaks the symmetry is the spot's own state. Its other genes say how much
ligand it makes itself, but not how much it receives. So both the response and the signal are freed of what the spot's
other genes say of them (a partially linear model, Robinson 1988), and the slope between the remainders is read.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from scipy.spatial import cKDTree

from tissuemake.models.sagefm.graph import Neighborhood

# Share of noise in a spot's other genes, in units of their common variance: little, as what is left of the spot's own
# state looks like a signal.
NOISE = 0.5
# Larger sections are freed of their own state part by part: the kernel is spots x spots.
MOST_SPOTS = 2500
# Neighbours count by a Gaussian of distance, in pitches.
REACH = 1.0
PERCENTILES = (5, 95)


@dataclass(frozen=True)
class Responses:
    """Effects of every name in the neighbours (row) on every name in the centre (column), and how to permute them.

    Attributes
    ----------
    effect
        (g, g) change of the response in its SDs while the mean of the neighbours goes from its 5th to its 95th
        percentile.
    low, high
        (g,) percentiles of the mean over the neighbours, log1p CP10k.
    signal, response
        (n, g) what the spot's other genes leave of the mean of the neighbours, and of the spot's own value.
    scale
        (g, g) by which their product is an effect.
    """

    effect: np.ndarray
    low: np.ndarray
    high: np.ndarray
    signal: np.ndarray
    response: np.ndarray
    scale: np.ndarray

    def moved(self, place: np.ndarray, signal: np.ndarray, response: np.ndarray) -> np.ndarray:
        """Effects of `signal` on `response` (positions, k each) when spots receive the signal of the spots `place`."""
        product = np.einsum("nk,nk->k", self.signal[place][:, signal], self.response[:, response])
        return product * self.scale[signal, response]


def neighborhood_means(values: np.ndarray, neighbors: Neighborhood) -> np.ndarray:
    """Mean of `values` (n, g) over the neighbours of each observation; the section's mean where there are none."""
    there = neighbors.index >= 0
    share = np.where(there, np.exp(-0.5 * (neighbors.distance / REACH) ** 2), 0.0)
    total = share.sum(axis=1, keepdims=True)
    share = np.divide(share, total, out=np.zeros_like(share), where=total > 0)
    rows = np.repeat(np.arange(len(values)), there.sum(axis=1))
    average = sp.csr_matrix((share[there], (rows, neighbors.index[there])), shape=(len(values),) * 2)
    means = average @ values
    means[total.ravel() == 0] = values.mean(axis=0)
    return means


def responses(
    values: np.ndarray,
    others: sp.csr_matrix,
    depth: np.ndarray,
    neighbors: Neighborhood,
    positions: np.ndarray,
) -> Responses:
    """Measure the response to every name.

    Parameters
    ----------
    values
        (n, g) log1p CP10k of the names.
    others
        (n, p) log1p CP10k of genes that are none of them.
    depth
        (n, 2) log library size and its square.
    positions
        (n, 2) by which large sections are divided.
    """
    field = neighborhood_means(values, neighbors)
    response, signal = np.empty_like(values), np.empty_like(values)
    for rows in parts(positions):
        free = own_state_remover(others[rows], depth[rows])
        response[rows], signal[rows] = free(values[rows]), free(field[rows])
    low, high = np.percentile(field, PERCENTILES, axis=0)
    spread = np.maximum((signal**2).sum(axis=0), 1e-9 * len(values))
    scale = ((high - low) / spread)[:, None] / np.maximum(values.std(axis=0), 1e-6)[None]
    return Responses((signal.T @ response) * scale, low, high, signal, response, scale)


def own_state_remover(others: sp.csr_matrix, depth: np.ndarray):
    """Return the function that frees columns (n, k) of depth and of what the spots' `others` say: ridge residuals."""
    nuisance, _ = np.linalg.qr(np.column_stack([np.ones(len(depth)), depth]).astype(float))
    mean = np.asarray(others.mean(axis=0)).ravel()
    variance = np.asarray(others.power(2).mean(axis=0)).ravel() - mean**2
    varies = variance > 1e-9
    scaled = others[:, varies] @ sp.diags(1 / np.sqrt(variance[varies]))
    kernel = np.asarray((scaled @ scaled.T).todense(), dtype=float)
    kernel -= nuisance @ (nuisance.T @ kernel)
    kernel -= (kernel @ nuisance) @ nuisance.T
    kernel /= max(np.trace(kernel) / len(kernel), 1e-12)
    kernel[np.diag_indices_from(kernel)] += NOISE
    factor = scipy.linalg.cho_factor(kernel, lower=True, overwrite_a=True)

    def free(columns: np.ndarray) -> np.ndarray:
        centred = columns - nuisance @ (nuisance.T @ columns)
        return NOISE * scipy.linalg.cho_solve(factor, centred)

    return free


def parts(positions: np.ndarray) -> list[np.ndarray]:
    """Divide observations into compact parts of at most `MOST_SPOTS`, halving along the longer side."""
    todo, done = [np.arange(len(positions))], []
    while todo:
        rows = todo.pop()
        if len(rows) <= MOST_SPOTS:
            done.append(rows)
            continue
        longer = np.ptp(positions[rows], axis=0).argmax()
        todo.extend(np.array_split(rows[np.argsort(positions[rows, longer], kind="stable")], 2))
    return done


def rigid_motion(positions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For every observation the one that comes to lie on it when the section is turned, flipped and shifted.

    Fields keep their smoothness; shuffled spots would lose it, and every smooth field would seem to matter.
    """
    centred = positions - positions.mean(axis=0)
    turn = rng.uniform(0, 2 * np.pi)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    spin[:, 0] *= rng.choice([-1, 1])
    shift = rng.uniform(-0.25, 0.25, 2) * np.ptp(positions, axis=0)
    return cKDTree(centred).query(centred @ spin + shift)[1]
