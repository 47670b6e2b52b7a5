"""Expression from images: heads and baselines on each problem, scored per gene within the section that asks.

Genes are the most variable of the training sections, in the order of the head. ``depth-adjusted``: log library size
over all genes, linear and square, taken out of the truth. ``over ceiling``: mean correlation over mean noise ceiling.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import anndata as ad
import numpy as np

from benchmarks.histology_encoders import FINE_TUNED, Bench, embedded
from benchmarks.histology_rows import CEILING, Row, rows
from benchmarks.histology_sections import Problem
from tissuemake.contracts import FILTERED, read_anndata
from tissuemake.evaluation.expression_metrics import (
    depth_adjusted_correlations,
    gene_correlations,
    noise_ceiling,
)
from tissuemake.files import remove
from tissuemake.models.histology_heads.cohort_genes import Cohort, cohorts, read_slides
from tissuemake.models.histology_heads.expression import fit_expression, predict_expression
from tissuemake.models.histology_heads.ridge import HEST, SECTION, Recipe, around

TOP = (250, 50)
NEIGHBOURS = 8
HEADS: dict[str, Recipe] = {"ridge": HEST, "low rank": SECTION}
ENCODERS = ("color", "untrained", "spafoundation", "color+untrained", "color+spafoundation", FINE_TUNED)
BASELINES = ("section mean", "library size", "neighbour mean")


@dataclass(frozen=True)
class Asked:
    """The section that asks: `truth` (spots, genes) log1p CP10k of the training part's most variable genes."""

    names: list[str]
    truth: np.ndarray
    total_counts: np.ndarray
    positions: np.ndarray
    plain_ceiling: np.ndarray
    adjusted_ceiling: np.ndarray

    def scores(self, predicted: np.ndarray) -> dict[str, float]:
        """Metrics of a prediction (spots, genes)."""
        plain = gene_correlations(predicted, self.truth)
        adjusted = depth_adjusted_correlations(predicted, self.truth, self.total_counts)
        found = {}
        for top in TOP:
            found[f"PCC top {top}"] = np.nanmean(plain[:top])
            found[f"depth-adjusted PCC top {top}"] = np.nanmean(adjusted[:top])
            found[f"over ceiling top {top}"] = np.nanmean(plain[:top]) / np.nanmean(self.plain_ceiling[:top])
        return found


def learnt_from(bench: Bench, problem: Problem) -> Cohort:
    """The training sections with their shared genes."""
    pairs = [(bench.section(name).filtered, embedded(bench, "color", name, 0)) for name in problem.train]
    return cohorts(read_slides(pairs))[0]


def ask(bench: Bench, problem: Problem) -> Asked:
    """What is asked of all methods, the same genes for each."""
    cohort = learnt_from(bench, problem)
    names = cohort.var.index[cohort.variable()]
    spots = read_anndata(bench.section(problem.test).filtered, FILTERED)
    names = [name for name in names if name in spots.var_names][: max(TOP)]
    genes = spots.var_names.get_indexer(names)
    counts = spots.layers["counts"]
    return Asked(
        names,
        spots.X[:, genes].toarray().astype(np.float64),
        np.asarray(counts.sum(axis=1)).ravel(),
        np.asarray(spots.obsm["spatial"], dtype=np.float64),
        noise_ceiling(counts, genes),
        noise_ceiling(counts, genes, depth_adjusted=True),
    )


def by_baseline(bench: Bench, problem: Problem, asked: Asked, method: str) -> np.ndarray:
    """What a baseline says (spots, genes)."""
    if method == "neighbour mean":
        return around(asked.truth, asked.positions, NEIGHBOURS)
    cohort = learnt_from(bench, problem)
    if method == "section mean":
        level = np.mean([slide.spots[:, asked.names].X.mean(axis=0) for slide in cohort.slides], axis=0)
        return np.tile(level, (len(asked.truth), 1))
    # The sign and size of each gene's slope on log library size are those of the training sections.
    slopes = []
    for slide in cohort.slides:
        depth = np.log(slide.total_counts)
        values = slide.spots[:, asked.names].X.toarray()
        slopes.append((depth - depth.mean()) @ values / np.square(depth - depth.mean()).sum())
    return np.log(asked.total_counts)[:, None] * np.mean(slopes, axis=0)


def by_head(bench: Bench, problem: Problem, asked: Asked, encoder: str, head: str, seed: int) -> np.ndarray:
    """What a head on an encoder says (spots, genes), through the files that the workflow writes."""
    folder = (
        bench.own / "heads" / f"{problem.name} {encoder} {head} {seed}".replace(" ", "_").replace(">", "")
    )
    # Fine-tuning sees what the head sees: the training sections.
    pairs = [
        (bench.section(name).filtered, embedded(bench, encoder, name, seed, problem.train))
        for name in problem.train
    ]
    fit_expression(pairs, folder, seed=seed, recipe=HEADS[head])
    output = folder / "predicted.h5ad"
    asking = bench.section(problem.test).filtered
    predict_expression(asking, embedded(bench, encoder, problem.test, seed, problem.train), folder, output)
    predicted = ad.read_h5ad(output)[:, asked.names].X
    remove(folder)
    return np.asarray(predicted, dtype=np.float64)


def methods() -> list[str]:
    """All rows, baselines first."""
    return [*BASELINES, *(f"{encoder}, {head}" for encoder in ENCODERS for head in HEADS), CEILING]


def score(bench: Bench, problem: Problem, asked: Asked, method: str, seed: int) -> Iterator[Row]:
    """Rows of one method on one problem."""
    if method == CEILING:
        found = {}
        for top in TOP:
            found[f"PCC top {top}"] = np.nanmean(asked.plain_ceiling[:top])
            found[f"depth-adjusted PCC top {top}"] = np.nanmean(asked.adjusted_ceiling[:top])
    elif method in BASELINES:
        found = asked.scores(by_baseline(bench, problem, asked, method))
    else:
        found = asked.scores(by_head(bench, problem, asked, *method.split(", "), seed))
    yield from rows("expression", problem.name, method, seed, found)
