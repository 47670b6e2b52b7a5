"""Answers that need no network: what the spot's depth, its neighbours and its own other genes say of a hidden gene.

The ridge is made as strong as we could: components of log values or of Pearson residuals, the centre's depth beside
them, neighbours' components ring by ring, everything centred within each section, and the penalty by leave-one-out on
the teaching sections.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree

from benchmarks.spatial_questions import Question, Slide

# Nearest spots within the first rings of each lattice: (one ring, two rings).
RINGS = {"hexagonal": (6, 18), "square": (8, 24), "none": (6, 18)}
WIDER = (36, 90)
# Beyond so many nearest-neighbour distances (median) nobody is a neighbour: islands, holes.
REACH = 6.5
PENALTIES = np.logspace(0, 5, 11)
OVERDISPERSION, LARGEST_RESIDUAL = 0.01, 8.0


@dataclass(frozen=True)
class Recipe:
    """What a ridge reads of a spot.

    Attributes
    ----------
    own, around
        Principal components of the centre's visible genes, and of the genes of each ring of neighbours; 0: none.
    depth
        Log library size of the centre and its square beside them.
    residuals
        Components of Pearson residuals instead of log values.
    genes
        Which genes are read: the 1,000 of which some are scored, or all that are dense.
    """

    own: int = 0
    around: int = 0
    depth: bool = False
    residuals: bool = False
    genes: int = 1000


OWN = {
    "own PCA 20 + ridge": Recipe(own=20),
    "own PCA 50 + ridge": Recipe(own=50),
    "own PCA 20, depth + ridge": Recipe(own=20, depth=True),
    "own residual PCA 20, depth + ridge": Recipe(own=20, depth=True, residuals=True, genes=2000),
    "own + around PCA 50 + ridge": Recipe(own=50, around=50),
    "own + around residual PCA 20, depth + ridge": Recipe(20, 20, True, True, 2000),
}
AROUND = {
    "around PCA 20 + ridge": Recipe(around=20),
    "around residual PCA 20 + ridge": Recipe(around=20, residuals=True, genes=2000),
    "around residual PCA 20, own depth + ridge": Recipe(around=20, depth=True, residuals=True, genes=2000),
}
MEANS = ("mean of one ring", "mean of two rings", "mean of 36 nearest", "mean of 90 nearest")
SIMPLE = ("section mean", "library size", *MEANS)


def answer(question: Question, method: str) -> list[np.ndarray]:
    """Predictions (spots, scored) of each test section."""
    if method == "section mean":
        level = np.mean([slide.values[:, question.scored].mean(axis=0) for slide in question.train], axis=0)
        return [np.tile(level, (len(slide.total), 1)) for slide in question.test]
    if method == "library size":
        return _by_depth(question)
    if method in MEANS:
        found = []
        for slide in question.test:
            size = (*RINGS[slide.lattice], *WIDER)[MEANS.index(method)]
            found.append(between(slide.positions, 0, size) @ slide.values[:, question.scored])
        return found
    return ridge(question, {**OWN, **AROUND}[method])


def _by_depth(question: Question) -> list[np.ndarray]:
    """Each gene's slope on log library size in the teaching sections."""
    slopes = []
    for slide in question.train:
        depth = np.log(slide.total) - np.log(slide.total).mean()
        slopes.append(depth @ slide.values[:, question.scored] / np.square(depth).sum())
    slope = np.mean(slopes, axis=0)
    return [np.log(slide.total)[:, None] * slope for slide in question.test]


def between(positions: np.ndarray, after: int, until: int) -> sp.csr_matrix:
    """Matrix (n, n) that averages over the nearest spots from number `after` to `until`, oneself not counted."""
    n = len(positions)
    until = min(until, n - 1)
    distance, index = cKDTree(positions).query(positions, k=until + 1)
    typical = np.median(distance[:, 1])
    near = distance <= REACH * max(typical, 1e-12)
    near[:, : after + 1] = False
    rows = np.repeat(np.arange(n), near.sum(axis=1))
    share = 1 / np.maximum(near.sum(axis=1), 1)
    return sp.csr_matrix((share[rows], (rows, index[near])), shape=(n, n))


def ridge(question: Question, recipe: Recipe) -> list[np.ndarray]:
    """Learn from the teaching sections, say for the asking ones."""
    teach, asked = features(question, recipe)
    target = np.concatenate([centred(slide.values[:, question.scored]) for slide in question.train])
    weights = ridge_weights(np.concatenate(teach), target / np.maximum(target.std(axis=0), 1e-6))
    return [part @ weights for part in asked]


def ridge_weights(inputs: np.ndarray, target: np.ndarray, penalties: np.ndarray = PENALTIES) -> np.ndarray:
    """Weights (inputs, targets), one penalty for all targets, the best of leave-one-out.

    As ``RidgeCV`` without intercept, which is several times slower here: `inputs` are few and centred.
    """
    inputs = inputs.astype(np.float64)
    size, axes = np.linalg.eigh(inputs.T @ inputs)
    turned = inputs @ axes
    projected = turned.T @ target
    best = (np.inf, projected)
    for penalty in penalties:
        shrunk = projected / (size + penalty)[:, None]
        leverage = (turned**2 / (size + penalty)).sum(axis=1, keepdims=True)
        error = float((((target - turned @ shrunk) / np.maximum(1 - leverage, 1e-6)) ** 2).mean())
        if error < best[0]:
            best = (error, shrunk)
    return axes @ best[1]


def features(question: Question, recipe: Recipe) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Inputs of the ridge for teaching and asking sections."""
    few = np.arange(len(question.genes)) < recipe.genes
    slides = [*question.train, *question.test]
    blocks: list[list[np.ndarray]] = [[] for _ in slides]
    if recipe.own:
        components = _components(question, recipe.own, few & ~question.hidden, recipe)
        for block, own in zip(blocks, components, strict=True):
            block.append(own)
    if recipe.depth:
        for block, slide in zip(blocks, slides, strict=True):
            depth = centred(np.log(slide.total)[:, None]) / 0.5
            block.append(centred(np.hstack([depth, depth**2])))
    if recipe.around:
        # Genes are hidden at the centre only.
        components = _components(question, recipe.around, few, recipe)
        for block, whole, slide in zip(blocks, components, slides, strict=True):
            bounds = (0, *RINGS[slide.lattice], *WIDER)
            for number, (after, until) in enumerate(pairwise(bounds)):
                # A mean over more spots varies less and is known better.
                block.append(centred(between(slide.positions, after, until) @ whole) * (number + 1))
    joined = [np.hstack(block) for block in blocks]
    return joined[: len(question.train)], joined[len(question.train) :]


def _components(question: Question, number: int, genes: np.ndarray, recipe: Recipe) -> list[np.ndarray]:
    """Principal components of `genes`, those of the teaching sections, the first to unit variance."""
    from sklearn.decomposition import PCA

    read = _residuals if recipe.residuals else _logs
    teach = [read(slide, genes) for slide in question.train]
    joined = np.concatenate(teach)
    pca = PCA(min(number, *(np.array(joined.shape) - 1)), svd_solver="randomized", random_state=0).fit(joined)
    found = [pca.transform(part) for part in (*teach, *(read(slide, genes) for slide in question.test))]
    scale = max(float(np.concatenate(found[: len(teach)])[:, 0].std()), 1e-12)
    return [part / scale for part in found]


def _logs(slide: Slide, genes: np.ndarray) -> np.ndarray:
    return centred(slide.values[:, genes])


def _residuals(slide: Slide, genes: np.ndarray) -> np.ndarray:
    """Pearson residuals of a negative binomial, with the section's own rates."""
    counts = slide.counts[:, np.flatnonzero(genes)]
    expected = slide.total[:, None] * (np.asarray(counts.sum(axis=0)).ravel() / slide.total.sum())
    spread = np.sqrt(expected + OVERDISPERSION * expected**2)
    values = (counts.toarray() - expected) / np.where(spread > 0, spread, 1)
    return centred(np.clip(values, -LARGEST_RESIDUAL, LARGEST_RESIDUAL).astype(np.float32))


def centred(values: np.ndarray) -> np.ndarray:
    """Without the mean of the section."""
    return values - values.mean(axis=0)


def methods(all_hidden: bool) -> Sequence[str]:
    """Names, in the order of the table."""
    return [*SIMPLE, *(() if all_hidden else OWN), *AROUND]
