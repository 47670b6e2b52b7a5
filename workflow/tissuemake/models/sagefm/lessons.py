"""Lessons: centres, their neighbours and what is hidden of them; a mini-batch holds one hop around its centres."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from tissuemake.models.sagefm.architecture import Masking
from tissuemake.models.sagefm.reading import Loadings, components_alike
from tissuemake.models.sagefm.section import Section

# Of the residuals of one section; those of a larger one are computed for each lesson.
BYTES_IN_MEMORY = 256_000_000
ROWS_AT_ONCE = 8192
# Sets of genes that are hidden in a whole section: few, because all its spots are read anew for each.
HIDDEN_SETS = 8


class Lesson(NamedTuple):
    """B centres, M different neighbours of theirs, V genes, K neighbours of a centre at most, R rings.

    Genes that the section did not measure count as hidden in all of them.
    """

    own: Tensor  # residuals of the centres (B, V)
    hidden: Tensor  # bool (B, V)
    depth: Tensor  # (B, 2)
    around: Tensor  # components of the neighbours (M, d)
    lacking: Tensor  # bool (V,): genes that are hidden in every neighbour
    around_depth: Tensor  # (M, 2)
    index: Tensor  # (B, K) into the neighbours, -1: none
    distance: Tensor  # (B, K), in nearest-neighbour distances
    angle: Tensor  # (B, K), radians
    rings: Tensor  # (B, R, V): mean of the standardised log values over each ring, 0 where lacking
    target: Tensor  # standardised log values of the centres (B, V)
    asked: Tensor  # bool (B, V): hidden, though measured
    level: Tensor  # mean log1p CP10k of the section (V,): where standardised values are 0

    def to(self, device: torch.device | str) -> "Lesson":
        """On another device."""
        return Lesson(*(field.to(device) for field in self))


class Pupil:
    """A section with what is computed once, for lessons and answers.

    Parameters
    ----------
    mean, sd
        float32 (V,) of log1p CP10k over the training sections. What a section measured is centred at its own mean.
    rings
        How many rings have a mean of their own.
    """

    def __init__(
        self, section: Section, mean: np.ndarray, sd: np.ndarray, loadings: Loadings, rings: int
    ) -> None:
        self.section, self.mean, self.sd, self.loadings, self.rings = section, mean, sd, loadings, rings
        self.depth, self.rates, self.log_values = section.depth(), section.rates(), section.log_values()
        own = np.asarray(self.log_values.mean(axis=0), dtype=np.float32).ravel()
        # (V,): the section's own mean where it measured a gene, else that of training.
        self.level = np.where(section.measured, own, mean)
        self._read: dict[bytes, Tensor] = {}

    @cached_property
    def _small(self) -> bool:
        return 4 * len(self.section) * len(self.sd) <= BYTES_IN_MEMORY

    @cached_property
    def _residuals(self) -> np.ndarray:
        return self.section.residuals(np.arange(len(self.section)), self.rates)

    def residuals(self, rows: np.ndarray) -> np.ndarray:
        """As of the section; kept in memory where a section is small."""
        return self._residuals[rows] if self._small else self.section.residuals(rows, self.rates)

    @cached_property
    def _log_values(self) -> np.ndarray | sp.csr_matrix:
        """As `log_values`; dense where a section is small, in which means are found thrice as fast."""
        return self.log_values.toarray() if self._small else self.log_values

    def standardised(self, weights: sp.csr_matrix) -> np.ndarray:
        """Weighted means (n, V) of log values, for `weights` (n, observations), in deviations from the level."""
        means = weights @ self._log_values
        return ((means.toarray() if sp.issparse(means) else means) - self.level) / self.sd

    def targets(self, genes: np.ndarray) -> np.ndarray:
        """Standardised log values of the genes (V,) bool, of all observations."""
        columns = np.flatnonzero(genes)
        return (self.log_values[:, columns].toarray() - self.level[columns]) / self.sd[columns]

    def components(self, lacking: np.ndarray) -> Tensor:
        """Return those of all observations (n, d) when the genes `lacking` (V,) are hidden; kept for next time."""
        key = np.packbits(lacking).tobytes()
        if key not in self._read:
            if len(self._read) > HIDDEN_SETS:
                self._read.clear()
            visible = torch.from_numpy(~lacking).float()
            rows = np.arange(len(self.section))
            self._read[key] = torch.cat(
                [
                    components_alike(torch.from_numpy(self.residuals(block)), visible, self.loadings)
                    for block in np.array_split(rows, len(rows) // ROWS_AT_ONCE + 1)
                ]
            )
        return self._read[key]

    def lesson(
        self,
        centres: np.ndarray,
        hidden: np.ndarray,
        *,
        everywhere: bool = False,
        kept: np.ndarray | None = None,
        turn: float = 0.0,
    ) -> Lesson:
        """Put together what is seen of `centres`.

        Parameters
        ----------
        hidden
            bool (B, V) or (V,); the latter when `everywhere`: hidden in the neighbours as well.
        kept
            bool (B, K): neighbours that stay.
        turn
            Added to all angles, radians.
        """
        section, near = self.section, self.section.neighbors
        index = near.index[centres].astype(np.int64)
        if kept is not None:
            index = np.where(kept, index, -1)
        lacking = ~section.measured | (hidden if everywhere else False)
        unseen = np.broadcast_to(hidden, (len(centres), len(self.sd))) | ~section.measured
        rows = np.arange(len(centres))
        target = self.standardised(
            _average(rows, centres, np.ones(len(centres)), (len(centres), len(section)))
        )
        return self._seen(centres, index, lacking, turn)._replace(
            own=torch.from_numpy(self.residuals(centres)),
            hidden=torch.from_numpy(unseen),
            rings=torch.from_numpy(self._ring_means(index, near.ring[centres], lacking)),
            target=torch.from_numpy(target),
            asked=torch.from_numpy(unseen & section.measured),
        )

    def surroundings(self, centres: np.ndarray) -> Lesson:
        """As `lesson` with nothing hidden, without what is asked and told gene by gene: those fields are (0, V)."""
        index = self.section.neighbors.index[centres].astype(np.int64)
        return self._seen(centres, index, ~self.section.measured)

    def _seen(self, centres: np.ndarray, index: np.ndarray, lacking: np.ndarray, turn: float = 0.0) -> Lesson:
        near, nothing = self.section.neighbors, torch.zeros(0, len(self.sd))
        nodes, place = np.unique(index, return_inverse=True)
        first = int(len(nodes) > 0 and nodes[0] < 0)
        nodes, place = nodes[first:], place.reshape(index.shape) - first
        return Lesson(
            own=nothing,
            hidden=nothing.bool(),
            depth=torch.from_numpy(self.depth[centres]),
            around=self.components(lacking)[nodes],
            lacking=torch.from_numpy(lacking),
            around_depth=torch.from_numpy(self.depth[nodes]),
            index=torch.from_numpy(place),
            distance=torch.from_numpy(near.distance[centres]),
            angle=torch.from_numpy(near.angle[centres] + np.float32(turn)),
            rings=nothing,
            target=nothing,
            asked=nothing.bool(),
            level=torch.from_numpy(self.level),
        )

    def _ring_means(self, index: np.ndarray, ring: np.ndarray, lacking: np.ndarray) -> np.ndarray:
        """Standardised means (B, R, V); a centre without neighbours in a ring has the section's mean, 0."""
        means = np.zeros((len(index), self.rings, len(self.sd)), np.float32)
        for number in range(self.rings):
            inside = (ring == number) & (index >= 0)
            count = inside.sum(axis=1)
            rows = np.repeat(np.arange(len(index)), count)
            share = np.repeat(1 / np.maximum(count, 1), count)
            average = _average(rows, index[inside], share, (len(index), len(self.section)))
            some = count > 0
            means[some, number] = self.standardised(average[some])
        means[:, :, lacking] = 0
        return means


def _average(
    rows: np.ndarray, columns: np.ndarray, share: np.ndarray, shape: tuple[int, int]
) -> sp.csr_matrix:
    return sp.csr_matrix((share.astype(np.float32), (rows, columns)), shape=shape)


def draw_lesson(pupil: Pupil, spots: np.ndarray, size: int, masking: Masking, seed: int) -> Lesson:
    """Draw `size` of `spots` as centres, hide by `masking` and turn the section at random."""
    rng = np.random.default_rng(seed)
    centres = spots[rng.integers(len(spots), size=size)]
    genes = len(pupil.sd)
    everywhere = bool(rng.random() < masking.everywhere)
    if everywhere:
        one_of_few = np.random.default_rng(rng.integers(HIDDEN_SETS))
        hidden = one_of_few.random(genes) < masking.part
    else:
        share = np.where(rng.random((size, 1)) < masking.whole, 1.0, masking.part)
        hidden = rng.random((size, genes), dtype=np.float32) < share
    kept = rng.random((size, pupil.section.neighbors.width), dtype=np.float32) >= masking.neighbors
    return pupil.lesson(
        centres, hidden, everywhere=everywhere, kept=kept, turn=float(rng.uniform(0, 2 * np.pi))
    )
