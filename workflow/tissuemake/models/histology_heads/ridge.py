"""Core: ridge regression from tile embeddings to genes, by the HEST protocol and by one that suits few sections.

HEST (Jaume et al. 2024, NeurIPS): standardised features, 256 principal components, ridge. The published penalty,
100 / (components x genes), is next to none; with fewer spots than components it fits noise, so here it is chosen on
the training part by folds that share no group. What `SECTION` adds was measured in tests/benchmarks/HISTOLOGY.md.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from tissuemake.evaluation.expression_metrics import without_depth
from tissuemake.evaluation.metrics import pearson
from tissuemake.evaluation.splits import near_block, spatial_blocks

ALPHAS = (30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
BLOCKS = 4
# Neighbours further away than so many nearest-neighbour distances (median) are none: holes, islands.
REACH = 4.0
# A feature that hardly moves in a section says nothing there, and standardised would say it loudly.
LEAST_SPREAD = 1e-3
LARGEST_Z = 6.0
# Genes that choose the penalty: beyond the most variable, noise would.
JUDGED = 250


@dataclass(frozen=True)
class Recipe:
    """How a head is made.

    Parameters
    ----------
    components
        Principal components of the features; fewer where there are fewer spots.
    within_section
        Standardise features within each section (of a new one too: its image is all that this takes), so that
        staining and scanner fall out, rather than over all training spots.
    ring
        So many nearest tiles give their mean as further features; 0: a spot sees its own tile alone.
    rank
        Learn so many directions of expression (principal components of the training values), 0: every gene for itself.
    depth_share
        How much of what the library size explains is learnt: 1 all. Less costs plain correlation and wins where depth
        is taken out.
    alphas
        Penalties to choose from; one is no choice.
    """

    components: int = 256
    within_section: bool = True
    ring: int = 8
    rank: int = 10
    depth_share: float = 0.7
    alphas: tuple[float, ...] = ALPHAS

    def as_dict(self) -> dict:
        """Plain values for JSON."""
        return {**asdict(self), "alphas": list(self.alphas)}


SECTION = Recipe()
HEST = Recipe(within_section=False, ring=0, rank=0, depth_share=1.0)


@dataclass(frozen=True)
class Section:
    """What a head learns from one section.

    Attributes
    ----------
    features, values
        (spots, features) and (spots, genes): log1p of CP10k.
    total_counts
        (spots,) over all genes.
    positions
        (spots, 2), any unit.
    group
        Who shares it never stands on both sides of a fold.
    """

    features: np.ndarray
    values: np.ndarray
    total_counts: np.ndarray
    positions: np.ndarray
    group: str

    def part(self, spots: np.ndarray, group: str | None = None) -> "Section":
        """The spots where `spots` is true."""
        rows = (self.features, self.values, self.total_counts, self.positions)
        return Section(*(part[spots] for part in rows), self.group if group is None else group)


@dataclass(frozen=True)
class Head:
    """A fitted head: `level` (genes,) + ((x - `mean`) / `scale`) @ `weights` (features, genes)."""

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    level: np.ndarray
    alpha: float
    recipe: Recipe = field(default=SECTION)

    def predict(self, features: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """log1p of CP10k (spots, genes) of a section's spots; not negative."""
        seen = (describe(features, positions, self.recipe) - self.mean) / self.scale
        return np.maximum(seen @ self.weights + self.level, 0)


def describe(features: np.ndarray, positions: np.ndarray, recipe: Recipe) -> np.ndarray:
    """What a head sees of a section: own features and the mean of its neighbours', standardised if asked."""
    features = np.asarray(features, dtype=np.float64)
    if recipe.ring:
        features = np.hstack([features, around(features, positions, recipe.ring)])
    return _standardised(features) if recipe.within_section else features


def around(values: np.ndarray, positions: np.ndarray, size: int) -> np.ndarray:
    """Mean of `values` (spots, k) over the `size` nearest other spots; a lone spot has its own."""
    size = min(size, len(values) - 1)
    if size < 1:
        return np.array(values)
    away, index = cKDTree(positions).query(positions, k=size + 1)
    typical = np.median(away[:, 1])
    near = (away <= REACH * max(typical, 1e-12)) & (index != np.arange(len(values))[:, None])
    near[~near.any(axis=1), 0] = True
    weight = near / near.sum(axis=1, keepdims=True)
    return np.stack([weight[row] @ values[index[row]] for row in range(len(values))])


def _standardised(features: np.ndarray) -> np.ndarray:
    spread = features.std(axis=0)
    moves = spread > LEAST_SPREAD * np.abs(features).max(axis=0) + 1e-12
    z = (features - features.mean(axis=0)) / np.where(moves, spread, 1)
    return np.clip(np.where(moves, z, 0), -LARGEST_Z, LARGEST_Z)


def fit_head(sections: Sequence[Section], recipe: Recipe = SECTION, *, seed: int = 0) -> Head:
    """Fit a head on all `sections`; the penalty is that which does best on groups that were left out.

    Best is the mean over the most variable genes of the correlation within a section, plain and with depth taken
    out of the truth. A lone group is left out by blocks of its sections, without the spots next to them.
    """
    if len(recipe.alphas) == 1:
        return _Solved(sections, recipe).head(recipe.alphas[0])
    scores = np.zeros(len(recipe.alphas))
    for taught, asked in _folds(sections, seed):
        solved = _Solved(taught, recipe)
        judged = np.argsort(-_variance(taught), kind="stable")[:JUDGED]
        heads = [solved.head(alpha, judged) for alpha in recipe.alphas]
        for section, spots in asked:
            scores += [_score(head, section, spots, judged) for head in heads]
    return _Solved(sections, recipe).head(recipe.alphas[int(np.argmax(scores))])


def _folds(sections: Sequence[Section], seed: int) -> list[tuple[list[Section], list[tuple]]]:
    """Sections to learn from, and (section, spots to score) that they share no group with."""
    groups = list(dict.fromkeys(section.group for section in sections))
    if len(groups) > 1:
        return [
            (
                [section for section in sections if section.group != group],
                [
                    (section, np.ones(len(section.values), bool))
                    for section in sections
                    if section.group == group
                ],
            )
            for group in groups
        ]
    folds = []
    blocks = [spatial_blocks(section.positions, BLOCKS, seed) for section in sections]
    for number in range(BLOCKS):
        inside = [block == number for block in blocks]
        gap = [_pitch(section.positions) * 1.5 for section in sections]
        taught = [
            section.part(~near_block(section.positions, own, reach))
            for section, own, reach in zip(sections, inside, gap, strict=True)
        ]
        taught = [section for section in taught if len(section.values) > 2]
        if taught:
            folds.append((taught, list(zip(sections, inside, strict=True))))
    return folds


def _pitch(positions: np.ndarray) -> float:
    return float(np.median(cKDTree(positions).query(positions, k=2)[0][:, 1])) if len(positions) > 1 else 0.0


def _score(head: Head, section: Section, spots: np.ndarray, judged: np.ndarray) -> float:
    if spots.sum() < 5:
        return 0.0
    predicted = head.predict(section.features, section.positions)[spots]
    truth, depth = section.values[spots][:, judged], section.total_counts[spots]
    plain, adjusted = pearson(predicted, truth), pearson(predicted, without_depth(truth, depth))
    return float(np.nan_to_num(np.nanmean(plain)) + np.nan_to_num(np.nanmean(adjusted)))


def _variance(sections: Sequence[Section]) -> np.ndarray:
    return np.mean([section.values.var(axis=0) for section in sections], axis=0)


class _Solved:
    """Everything of a fit but the penalty."""

    def __init__(self, sections: Sequence[Section], recipe: Recipe) -> None:
        self.recipe = recipe
        seen = np.concatenate([describe(s.features, s.positions, recipe) for s in sections])
        self.mean = seen.mean(axis=0)
        spread = seen.std(axis=0)
        self.scale = np.where(spread > LEAST_SPREAD * np.abs(seen).max(axis=0) + 1e-12, spread, np.inf)
        left, size, right = np.linalg.svd((seen - self.mean) / self.scale, full_matrices=False)
        kept = min(recipe.components, int((size > 1e-9 * max(size[0], 1e-12)).sum()))
        self.size, self.right = size[:kept], right[:kept]
        self.level = np.mean([section.values.mean(axis=0) for section in sections], axis=0)
        self.target = left[:, :kept].T @ _targets(sections, recipe)

    def head(self, alpha: float, genes: np.ndarray | slice = slice(None)) -> Head:
        """The ridge solution with this penalty, of all genes or some."""
        shrunk = (self.size / (self.size**2 + alpha))[:, None] * self.target[:, genes]
        return Head(self.mean, self.scale, self.right.T @ shrunk, self.level[genes], alpha, self.recipe)


def _targets(sections: Sequence[Section], recipe: Recipe) -> np.ndarray:
    """What is learnt (spots, genes): values about the mean of their section, in few directions if asked."""
    own = [without_depth(section.values, section.total_counts) for section in sections]
    centred = [section.values - section.values.mean(axis=0) for section in sections]
    own, centred = np.concatenate(own), np.concatenate(centred)
    wanted = own + recipe.depth_share * (centred - own)
    return _in_directions(wanted, recipe.rank) if recipe.rank else wanted


def expression_directions(sections: Sequence[Section], recipe: Recipe) -> np.ndarray:
    """Where every spot of all sections stands (spots, `recipe.rank`) in the main directions of what is learnt.

    In units of the first one's standard deviation, so that a squared error weighs directions by what they explain.
    """
    targets = _targets(sections, recipe)
    left, size, _ = np.linalg.svd(targets - targets.mean(axis=0), full_matrices=False)
    rank = min(recipe.rank or len(size), len(size))
    return left[:, :rank] * (size[:rank] / max(size[0], 1e-12)) * np.sqrt(len(left))


def _in_directions(values: np.ndarray, rank: int) -> np.ndarray:
    """`values` (spots, genes) in their first `rank` principal directions."""
    small = values @ values.T if len(values) <= values.shape[1] else values.T @ values
    vectors = np.linalg.eigh(small)[1][:, ::-1][:, :rank]
    return vectors @ (vectors.T @ values) if len(values) <= values.shape[1] else values @ vectors @ vectors.T
