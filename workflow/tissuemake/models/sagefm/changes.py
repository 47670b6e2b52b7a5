"""How a model's mean answer changes while genes go from low to high around every spot of a section.

`by_prediction` asks any model twice. A ring network is asked the same in a sixth of the time: of all that it reads,
only the genes' share in the components of the neighbours differs, and behind the latent vector all is linear, so that
means over spots are enough.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from tissuemake.models.sagefm.encode import SageFM
from tissuemake.models.sagefm.lessons import Lesson
from tissuemake.models.sagefm.network import RingNetwork
from tissuemake.models.sagefm.perturbed import low_and_high
from tissuemake.models.sagefm.reading import components, components_alike
from tissuemake.models.sagefm.section import Section

# Genes (k,), their log1p CP10k low and high -> change of log1p CP10k, (V,).
Change = Callable[[np.ndarray, float, float], np.ndarray]


class Model(Protocol):
    """Predicts log1p CP10k (n, V) of a section while genes are hidden at the centre."""

    def predict(self, section: Section, hidden: np.ndarray | None = None) -> np.ndarray:
        """Return (n, V)."""


def change_of(model: Model, section: Section, hidden: np.ndarray) -> Change:
    """Return the function that asks `model` about `section` while `hidden` (V,) bool are hidden at the centre.

    The genes that it is asked about must be among the hidden.
    """
    ringed = isinstance(model, SageFM) and isinstance(model._network, RingNetwork)
    if ringed and (section.neighbors.index >= 0).any():
        return RingChange(model, section, hidden)
    return by_prediction(model, section, hidden)


def by_prediction(model: Model, section: Section, hidden: np.ndarray) -> Change:
    """Ask for both answers whole."""

    def change(genes: np.ndarray, low: float, high: float) -> np.ndarray:
        below, above = np.split(model.predict(low_and_high(section, genes, low, high), hidden), 2)
        return (above - below).mean(axis=0)

    return change


class RingChange:
    """`Change` of a ring network; equal to `by_prediction` but for rounding."""

    def __init__(self, model: SageFM, section: Section, hidden: np.ndarray) -> None:
        pupil, self._place = model._pupil(section), model.device.torch_name
        self._section, self._network, self._sd = section, model._network, torch.from_numpy(model.sd)
        rows, self._hidden = np.arange(len(section)), np.flatnonzero(hidden)
        lesson = pupil.lesson(rows, hidden)
        self._lesson = lesson.to(self._place)
        self._found = components(
            self._lesson.own, (~self._lesson.hidden).float(), self._network.reader.loadings
        )
        near = section.neighbors
        self._nodes = np.unique(near.index[near.index >= 0])
        self._residuals = pupil.residuals(rows)[:, self._hidden]
        # What one unit of each hidden gene adds to the components of a neighbour.
        unit = torch.zeros(len(self._hidden), len(hidden))
        unit[np.arange(len(self._hidden)), self._hidden] = 1
        visible = torch.from_numpy(section.measured).float()
        self._share = components_alike(unit, visible, pupil.loadings)
        there = [((near.ring == ring) & (near.index >= 0)).any(axis=1).mean() for ring in range(pupil.rings)]
        self._in_ring = torch.tensor(there, dtype=torch.float32)

    @torch.no_grad()
    def __call__(self, genes: np.ndarray, low: float, high: float) -> np.ndarray:
        """Return the change (V,)."""
        below, above = (self._answer(values, genes) for values in self._values(genes, low, high))
        change = above - below
        # The genes' own means over the rings, which are high - low apart.
        weights = (self._network.ring[:, None] + self._network.ring_gene)[:, genes].cpu()
        change[genes] += (high - low) / self._sd[genes] * (self._in_ring @ weights) / 2
        return (change * self._sd).numpy()

    def _values(self, genes: np.ndarray, low: float, high: float) -> list[np.ndarray]:
        """Residuals of the genes (n, k) while they are low, and while they are high."""
        section = self._section
        narrow = Section(section.counts[:, genes], section.measured[genes], section.total, section.neighbors)
        both = low_and_high(narrow, np.arange(len(genes)), low, high)
        return np.split(both.residuals(np.arange(len(both)), both.rates()), 2)

    def _answer(self, values: np.ndarray, genes: np.ndarray) -> torch.Tensor:
        """Mean answer (V,) over the spots, but for the genes' own means over the rings, in standard deviations."""
        column = np.searchsorted(self._hidden, genes)
        more = torch.from_numpy(values - self._residuals[:, column])[self._nodes] @ self._share[column]
        lesson = self._lesson._replace(around=self._lesson.around + more.to(self._place))
        latent = self._network._embed(self._found, lesson).mean(dim=0)
        straight = self._network.straight_line(*self._mean(lesson))[0]
        return ((self._network.decode(latent) + straight) / 2).cpu()

    def _mean(self, lesson: Lesson) -> tuple[torch.Tensor, Lesson]:
        """One spot that is the mean of all, in what the straight line looks at."""
        there = (lesson.index >= 0).float()
        share = there / there.sum(dim=1, keepdim=True).clamp(min=1) / len(there)
        weight = torch.zeros(len(lesson.around), device=share.device)
        weight.index_add_(0, lesson.index.clamp(min=0).flatten(), share.flatten())
        one = lesson._replace(
            hidden=lesson.hidden[:1],
            depth=lesson.depth.mean(dim=0, keepdim=True),
            around=(weight @ lesson.around)[None],
            index=torch.zeros(1, 1, dtype=torch.int64, device=share.device),
        )
        return self._found.mean(dim=0, keepdim=True), one
