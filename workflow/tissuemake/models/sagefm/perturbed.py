"""A section as it would be with a ligand low or high everywhere, for a model to be asked about."""

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from tissuemake.models.sagefm.graph import Neighborhood
from tissuemake.models.sagefm.section import TARGET, Section


def some_spots(section: Section, most: int, rng: np.random.Generator) -> Section:
    """The section itself, or at most about `most` of its spots: random ones with all their neighbours."""
    if len(section) <= most:
        return section
    order, chosen = rng.permutation(len(section)), np.zeros(len(section), dtype=bool)
    for spot in order:
        near = section.neighbors.index[spot]
        chosen[near[near >= 0]] = chosen[spot] = True
        if chosen.sum() >= most:
            break
    rows = np.flatnonzero(chosen)
    place = np.full(len(section) + 1, -1)
    place[rows] = np.arange(len(rows))
    near = section.neighbors
    kept = replace(
        near,
        **{name: getattr(near, name)[rows] for name in ("distance", "angle", "ring")},
        index=place[near.index[rows]].astype(near.index.dtype),
    )
    return Section(section.counts[rows], section.measured, section.total[rows], kept)


def low_and_high(section: Section, genes: np.ndarray, low: float, high: float) -> Section:
    """The section twice over, with `genes` at log1p CP10k `low` in all spots of the first and `high` in the second.

    One section, as a model may take what a section has throughout for its own level.
    """
    without = section.counts.copy()
    without.data[np.isin(without.indices, genes)] = 0
    place = np.zeros((1, without.shape[1]), dtype=np.float32)
    place[0, genes] = 1
    halves = [
        without
        + sp.csr_matrix((np.expm1(value) * section.total / TARGET)[:, None].astype(np.float32))
        @ sp.csr_matrix(place)
        for value in (low, high)
    ]
    near = section.neighbors
    index = np.where(near.index >= 0, near.index + len(section), -1).astype(near.index.dtype)
    twice: Neighborhood = replace(
        near,
        index=np.concatenate([near.index, index]),
        **{name: np.concatenate([getattr(near, name)] * 2) for name in ("distance", "angle", "ring")},
    )
    return Section(sp.vstack(halves, format="csr"), section.measured, np.tile(section.total, 2), twice)
