"""What the tests of hidden genes ask, the same for all methods, and how an answer is scored.

A question is a problem and a seed. Genes are those that all its sections measure, by their variance in the sections
that teach. Of the 1,000 most variable 30 % are hidden and scored, and of the others 30 % are hidden too, so that no
method sees more than 70 % of a spot; the seed draws them, and they are the same in all spots. They are hidden at the
centre only: its neighbours keep them. Library size is known to all, over all genes of the section.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from benchmarks.spatial_sections import Problem, filtered
from tissuemake.contracts import FILTERED, read_anndata
from tissuemake.domains.neighbors import microns
from tissuemake.evaluation.expression_metrics import (
    depth_adjusted_correlations,
    gene_correlations,
    noise_ceiling,
)
from tissuemake.expression import column_variance
from tissuemake.files import atomic

# Seen in fewer spots of a teaching section than this, a gene has no pattern.
SEEN_IN = 0.02
MOST_GENES, SCORED_AMONG = 2000, 1000
HIDDEN_SHARE = 0.3


@dataclass(frozen=True)
class Slide:
    """A section: log1p CP10k of the question's genes (n, genes), counts of them, library size, positions in µm."""

    name: str
    path: Path
    values: np.ndarray
    counts: sp.csr_matrix
    total: np.ndarray
    positions: np.ndarray
    lattice: str


@dataclass(frozen=True)
class Question:
    """A problem with what one seed hides.

    Attributes
    ----------
    genes
        Names, most variable of the teaching sections first.
    hidden
        bool (genes,): not shown at the centre.
    scored
        Positions in `genes`, all hidden.
    unseen
        Names of all hidden genes, those beyond `genes` among them.
    plain_ceilings, adjusted_ceilings
        (test sections, scored).
    """

    problem: Problem
    seed: int
    genes: list[str]
    hidden: np.ndarray
    scored: np.ndarray
    unseen: frozenset[str]
    train: list[Slide]
    test: list[Slide]
    plain_ceilings: np.ndarray
    adjusted_ceilings: np.ndarray

    def scores(self, predicted: Sequence[np.ndarray]) -> dict[str, float]:
        """Metrics of predictions (spots, scored), one for each test section: medians over genes, mean over sections."""
        found = []
        for slide, said, plain, adjusted in zip(
            self.test, predicted, self.plain_ceilings, self.adjusted_ceilings, strict=True
        ):
            truth = slide.values[:, self.scored]
            r = np.nanmedian(gene_correlations(said, truth))
            semipartial = np.nanmedian(depth_adjusted_correlations(said, truth, slide.total))
            partial = np.nanmedian(depth_adjusted_correlations(said, truth, slide.total, both=True))
            found.append(
                {
                    "r": r,
                    "depth-adjusted r": semipartial,
                    "depth-adjusted r, both": partial,
                    "over ceiling": r / np.nanmedian(plain),
                    "depth-adjusted, over ceiling": semipartial / np.nanmedian(adjusted),
                }
            )
        return {name: float(np.mean([one[name] for one in found])) for name in found[0]}

    def ceilings(self) -> dict[str, float]:
        """What a prediction without any error would score."""
        return {
            "r": float(np.mean(np.nanmedian(self.plain_ceilings, axis=1))),
            "depth-adjusted r": float(np.mean(np.nanmedian(self.adjusted_ceilings, axis=1))),
        }


def ask(problem: Problem, seed: int, data: Path, work: Path) -> Question:
    """Hide what `seed` draws."""
    names, train, test, ceilings, shared = _read(problem, data, work)
    rng = np.random.default_rng([seed, 5])
    most = min(SCORED_AMONG, len(names))
    scored = np.sort(rng.permutation(most)[: round(HIDDEN_SHARE * most)])
    others = np.setdiff1d(shared, names[:most])
    drawn = rng.permutation(others)[: round(HIDDEN_SHARE * len(others))]
    unseen = frozenset([*np.asarray(names)[scored], *drawn])
    hidden = np.array([name in unseen for name in names])
    plain, adjusted = (kind[:, scored] for kind in ceilings)
    return Question(problem, seed, names, hidden, scored, unseen, train, test, plain, adjusted)


@lru_cache(maxsize=1)
def _read(problem: Problem, data: Path, work: Path):
    """Genes by variance, slides, ceilings of the first `SCORED_AMONG` genes, and all shared genes."""
    paths = {name: filtered(name, data, work) for name in (*problem.train, *problem.test)}
    spots = {name: read_anndata(path, FILTERED) for name, path in paths.items()}
    shared = sorted(set.intersection(*(set(one.var_names) for one in spots.values())))
    variance, seen = np.zeros(len(shared)), np.ones(len(shared), bool)
    for name in problem.train:
        log = sp.csr_matrix(spots[name].X)[:, spots[name].var_names.get_indexer(shared)]
        variance += column_variance(log)
        seen &= np.asarray((log > 0).mean(axis=0)).ravel() >= SEEN_IN
    ranked = np.argsort(np.where(seen, -variance, 1), kind="stable")[: min(MOST_GENES, int(seen.sum()))]
    names = [shared[i] for i in ranked]
    slides = {name: _slide(name, paths[name], one, names) for name, one in spots.items()}
    ceilings = _ceilings(problem, spots, names[:SCORED_AMONG], work)
    return names, [slides[n] for n in problem.train], [slides[n] for n in problem.test], ceilings, shared


def _slide(name: str, path: Path, spots, genes: list[str]) -> Slide:
    columns = spots.var_names.get_indexer(genes)
    counts = sp.csr_matrix(spots.layers["counts"])
    return Slide(
        name,
        path,
        spots.X[:, columns].toarray().astype(np.float32),
        counts[:, columns],
        np.maximum(np.asarray(counts.sum(axis=1), dtype=np.float64).ravel(), 1),
        microns(spots),
        str(spots.uns["tissuemake"]["lattice"]),
    )


def _ceilings(problem: Problem, spots: dict, genes: list[str], work: Path) -> tuple[np.ndarray, np.ndarray]:
    """Plain and depth-adjusted (test sections, genes), reckoned once."""
    path = work / "ceilings" / f"{problem.name.replace(' ', '_').replace('>', '')}.npz"
    if not path.is_file():
        found = {}
        for kind, adjusted in (("plain", False), ("adjusted", True)):
            found[kind] = np.array(
                [
                    noise_ceiling(
                        spots[n].layers["counts"],
                        spots[n].var_names.get_indexer(genes),
                        depth_adjusted=adjusted,
                    )
                    for n in problem.test
                ]
            )
        with atomic(path) as partial, partial.open("wb") as file:
            np.savez(file, **found)
    with np.load(path) as kept:
        return kept["plain"], kept["adjusted"]
