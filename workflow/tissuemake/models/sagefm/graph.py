"""Who stands around every observation, how far and which way: the graph SAGE-FM passes messages over."""

from dataclasses import dataclass

import anndata as ad
import numpy as np
from scipy.spatial import cKDTree

from tissuemake.domains.neighbors import microns

# Rings by distance, in pitches: each limit lies midway between two shells of the lattice, so that a hole in
# the tissue renumbers nobody and printed spots may stand off their lattice. Three rings hold 36 either way.
RING_LIMITS = {"hexagonal": (1.37, 2.32, 3.23), "square": (1.71, 2.53, 3.38)}
RING_SIZES = {"hexagonal": (6, 12, 18), "square": (8, 12, 16)}
FIRST_SHELL = {"hexagonal": 6, "square": 4}
MOST = 36
# Rows at once: squidpy, which says the same, holds all edges several times over and takes seconds to load.
BLOCK = 100_000


@dataclass(frozen=True)
class Neighborhood:
    """The neighbours of n observations, nearest first, k places each.

    Attributes
    ----------
    index
        (n, k) int32, row numbers of the neighbours; -1 in places left empty, which come last.
    distance
        (n, k) float32, in pitches; 0 in empty places.
    angle
        (n, k) float32, radians of the direction from the centre to the neighbour, counted from +x to +y
        (clockwise on the picture, where y points down); 0 in empty places.
    ring
        (n, k) int8, from 0; -1 in empty places.
    pitch_um
        What distances are divided by: the lattice's pitch, elsewhere the median distance of nearest
        neighbours.
    """

    index: np.ndarray
    distance: np.ndarray
    angle: np.ndarray
    ring: np.ndarray
    pitch_um: float

    @property
    def size(self) -> int:
        """Number of observations."""
        return len(self.index)

    @property
    def width(self) -> int:
        """Places per observation."""
        return self.index.shape[1]


def neighborhood_of(adata: ad.AnnData, *, rings: int = 3, most: int = MOST) -> Neighborhood:
    """Return the neighbourhood of a filtered sample: rings on a lattice, a radius for everything else.

    Parameters
    ----------
    adata
        With ``obsm["spatial"]``, the scale and ``uns["tissuemake"]`` as in ``filtered.h5ad``.
    rings
        Rings of a lattice, 1 to 3.
    most
        Neighbours kept of an observation without a lattice.
    """
    positions = microns(adata)
    lattice = str(adata.uns["tissuemake"].get("lattice", "none"))
    if lattice in RING_LIMITS:
        pitch = float(adata.uns["tissuemake"].get("pitch_um", 0.0))
        return lattice_rings(positions, lattice, rings, pitch_um=pitch or None)
    return within_radius(positions, usual_radius(positions, most), most)


def lattice_rings(
    positions: np.ndarray, lattice: str, rings: int = 3, *, pitch_um: float | None = None
) -> Neighborhood:
    """Return the rings around every spot: 6, 12, 18 on a hexagonal lattice, 8, 12, 16 on a square one.

    The pitch is measured from the positions, so arrays whose spots were printed off their lattice and
    checkerboards (the 2k array) need no array coordinates.

    Parameters
    ----------
    positions
        (n, 2) in µm.
    lattice
        ``"hexagonal"`` or ``"square"``.
    rings
        1 to 3.
    pitch_um
        The pitch as the vendor states it, if known: what remains of a torn tissue may not show it.
    """
    if not 1 <= rings <= len(RING_LIMITS[lattice]):
        raise ValueError(f"rings must be 1 to {len(RING_LIMITS[lattice])}, not {rings}")
    pitch = lattice_pitch(positions, lattice, pitch_um)
    limits = np.array(RING_LIMITS[lattice][:rings]) * pitch
    index = nearest_within(positions, limits[-1], sum(RING_SIZES[lattice][:rings]))
    return _measure(positions, index, limits, pitch)


def within_radius(
    positions: np.ndarray, radius_um: float, most: int = MOST, *, pitch_um: float | None = None
) -> Neighborhood:
    """Return the nearest `most` observations within `radius_um` of each, in three rings of equal breadth.

    Parameters
    ----------
    positions
        (n, 2) in µm.
    pitch_um
        Unit of distances; the median distance of nearest neighbours if not given.
    """
    pitch = usual_distance(positions, 1) if pitch_um is None else pitch_um
    index = nearest_within(positions, radius_um, most)
    return _measure(positions, index, radius_um * np.array([1 / 3, 2 / 3, 1.0]), pitch)


def cliques(positions: np.ndarray, k: int = 15) -> Neighborhood:
    """Return what the published recipe calls a subgraph: `k` nodes, the centre and its k - 1 nearest.

    There is no limit on distance, as in the recipe, and all neighbours count as one ring.
    """
    index = nearest_within(positions, np.inf, k - 1)
    return _measure(positions, index, np.array([np.inf]), usual_distance(positions, 1))


def usual_radius(positions: np.ndarray, most: int = MOST) -> float:
    """Return the radius in µm within which half of the observations have at least `most` others."""
    # A hair more, because on regular positions rounding would decide about whole shells.
    return usual_distance(positions, most) * (1 + 1e-6)


def usual_distance(positions: np.ndarray, nth: int) -> float:
    """Return the median distance in µm to the `nth` nearest other; 1.0 where there is nobody elsewhere."""
    nth = min(nth, len(positions) - 1)
    if nth < 1:
        return 1.0
    some = positions[:: max(1, len(positions) // 5000)]
    distance = cKDTree(positions).query(some, k=[nth + 1])[0][:, 0]
    return float(np.median(distance[distance > 0])) if (distance > 0).any() else 1.0


def lattice_pitch(positions: np.ndarray, lattice: str, guess: float | None = None) -> float:
    """Return the median distance in µm of a spot and its first shell (6 or 4), as far as there are any.

    The nearest alone would be too near where spots stand off their lattice, so that all within 0.7 to 1.3 of
    the first guess (by default the median of the nearest) have a say.
    """
    guess = guess or usual_distance(positions, 1)
    if len(positions) < 2:
        return guess
    some = positions[:: max(1, len(positions) // 5000)]
    shell = min(FIRST_SHELL[lattice] + 1, len(positions))
    distance = cKDTree(positions).query(some, k=shell)[0][:, 1:]
    shells = distance[(distance > 0.7 * guess) & (distance < 1.3 * guess)]
    return float(np.median(shells)) if len(shells) else guess


def nearest_within(positions: np.ndarray, radius_um: float, most: int) -> np.ndarray:
    """Return the nearest `most` others within `radius_um`, int32 (n, most), nearest first, -1 for nobody."""
    n = len(positions)
    reach = min(most, n - 1)
    index = np.full((n, most), -1, dtype=np.int32)
    if reach < 1:
        return index
    index[:, :reach] = _nearest(positions, reach)
    for start in range(0, n, BLOCK):
        block = index[start : start + BLOCK, :reach]
        distance = _offsets(positions, block, start)[0]
        order = np.argsort(distance, axis=1, kind="stable")
        too_far = np.take_along_axis(distance, order, axis=1) > radius_um
        block[:] = np.where(too_far, -1, np.take_along_axis(block, order, axis=1))
    return index


def _nearest(positions: np.ndarray, k: int) -> np.ndarray:
    """The k nearest others of each, (n, k), by one k-d tree that is asked for a block at a time."""
    n = len(positions)
    tree = cKDTree(positions)
    index = np.empty((n, k), dtype=np.int32)
    for start in range(0, n, BLOCK):
        found = tree.query(positions[start : start + BLOCK], k=k + 1)[1]
        own = found == np.arange(start, start + len(found))[:, None]
        own[~own.any(axis=1), -1] = True  # more twins in one place than were asked for: all but the centre
        index[start : start + BLOCK] = found[~own].reshape(-1, k)
    return index


def _offsets(positions: np.ndarray, index: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances in µm and directions from the observations `start`… to those in `index`, each (rows, k)."""
    step = positions[index] - positions[start : start + len(index), None]
    return np.hypot(step[..., 0], step[..., 1]), np.arctan2(step[..., 1], step[..., 0])


def _measure(positions: np.ndarray, index: np.ndarray, limits: np.ndarray, pitch: float) -> Neighborhood:
    """Add distances, angles and rings (whose outer `limits` are in µm) to neighbours already chosen."""
    distance = np.zeros(index.shape, dtype=np.float32)
    angle = np.zeros(index.shape, dtype=np.float32)
    ring = np.full(index.shape, -1, dtype=np.int8)
    for start in range(0, len(index), BLOCK):
        rows = slice(start, start + BLOCK)
        there = index[rows] >= 0
        far, direction = _offsets(positions, index[rows], start)
        distance[rows][there] = far[there] / pitch
        angle[rows][there] = direction[there]
        ring[rows][there] = np.searchsorted(limits, far[there])
    return Neighborhood(index, distance, angle, ring, float(pitch))


def shuffled(neighborhood: Neighborhood, seed: int) -> Neighborhood:
    """Return the control in which every observation gets the neighbours of a random other one.

    The other is never the observation itself nor one of those it stands among, whose places would show it
    the truth it is asked for. Where a section is too small for that, these places are left empty.
    """
    rng = np.random.default_rng(seed)
    own = np.arange(neighborhood.size)
    other = rng.permutation(neighborhood.size)
    for _ in range(100):
        clash = np.flatnonzero((other == own) | (neighborhood.index[other] == own[:, None]).any(axis=1))
        if not len(clash):
            break
        mixed = np.union1d(clash, rng.choice(own, len(clash)))
        other[mixed] = other[rng.permutation(mixed)]
    index = neighborhood.index[other]
    empty = (index < 0) | (index == own[:, None])
    order = np.argsort(empty, axis=1, kind="stable")
    empty = np.take_along_axis(empty, order, axis=1)

    def moved(values: np.ndarray, nothing: int) -> np.ndarray:
        values = np.take_along_axis(values[other], order, axis=1)
        values[empty] = nothing
        return values

    return Neighborhood(
        moved(neighborhood.index, -1),
        moved(neighborhood.distance, 0),
        moved(neighborhood.angle, 0),
        moved(neighborhood.ring, -1),
        neighborhood.pitch_um,
    )


def turned(adata: ad.AnnData, seed: int, *, most: int = MOST) -> Neighborhood:
    """Return the control in which every observation is turned about the section's centre by its own angle.

    Angles are random over the full circle, so everybody keeps the distance from the centre and stands among
    strangers. What comes out is no lattice; the radius and the unit are those within which the untouched
    section has `most` others.
    """
    positions = microns(adata)
    lattice = str(adata.uns["tissuemake"].get("lattice", "none"))
    unit = lattice_pitch(positions, lattice) if lattice in RING_LIMITS else usual_distance(positions, 1)
    middle = positions.mean(axis=0) if len(positions) else 0.0
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(positions))
    x, y = (positions - middle).T
    around = np.column_stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)])
    return within_radius(around + middle, usual_radius(positions, most), most, pitch_um=unit)
