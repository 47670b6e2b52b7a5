"""Genes through the bottleneck beside a direct ridge, and genes of Hallmark sets beside random sets of equal size."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from benchmarks.histology_sections import Problem
from benchmarks.kept_run import Bench
from benchmarks.pathways_answers import AROUND, QUADFLOW, asked, ridge
from benchmarks.pathways_data import COLOR, HER2ST, expression_of, gene_sets, genes_of, prepared, slide
from benchmarks.score_rows import Cost, Row, costing, rows
from tissuemake.contracts import FILTERED, read_annotations
from tissuemake.evaluation.expression_metrics import depth_adjusted_correlations, gene_correlations
from tissuemake.expression import column_variance
from tissuemake.pathways.gene_sets import read_gene_sets

TEST = "genes"
DIRECT = "direct ridge"
TOP = 250
DRAWS = 20
# Random genes are drawn among those of like expression: so many classes of the mean.
CLASSES = 10


def parts(test: str) -> Iterator[tuple[Problem, str]]:
    """Problems and methods."""
    yield from ((problem, method) for problem in HER2ST for method in (DIRECT, QUADFLOW))


def score(bench: Bench, test: str, problem: Problem, method: str, seed: int) -> Iterator[Row]:
    """Rows of one method: on the genes that the model speaks of."""
    _, path, cost = asked(bench, problem, QUADFLOW, seed)
    said = _read(path)
    direct, spent = direct_ridge(bench, _plain(problem), tuple(said), seed)
    found = scored_genes(bench, problem, direct if method == DIRECT else said, seed)
    if method != DIRECT:
        beside = scored_genes(bench, problem, direct, seed)
        found["PCC less that of the direct ridge"] = found["PCC"] - beside["PCC"]
    yield from rows(test, problem.name, method, seed, found, spent if method == DIRECT else cost)


def gene_scores(bench: Bench, problem: Problem, path: Path, method: str, seed: int) -> dict[str, float]:
    """What an ablation's genes are worth; without a bottleneck they are those of the direct ridge."""
    said = _read(path)
    if "bottleneck off" in method:
        said = direct_ridge(bench, _plain(problem), tuple(said), seed)[0]
    found = scored_genes(bench, problem, said, seed)
    return {f"genes, {name}": found[name] for name in ("PCC", "depth-adjusted PCC")}


def _read(path: Path) -> pd.DataFrame:
    said = ad.read_h5ad(path)
    return pd.DataFrame(said.X, index=said.obs_names, columns=said.var_names)


def _plain(problem: Problem) -> Problem:
    """Without the kind of score, which no gene depends on."""
    return Problem(problem.name.partition(", ")[0], problem.train, problem.test)


@lru_cache(maxsize=2)
def direct_ridge(
    bench: Bench, problem: Problem, genes: tuple[str, ...], seed: int
) -> tuple[pd.DataFrame, Cost]:
    """Genes (spots, genes) straight from the image features that quadflow reads, neighbours' too."""
    known = genes_of(bench, problem.test)
    genes = [gene for gene in genes if gene in known]
    *taught, last = (
        slide(bench, name, COLOR, expression_of(bench, name, genes))
        for name in (*problem.train, problem.test)
    )
    with costing() as cost:
        said = ridge([part.section for part in taught], last.section, AROUND, seed)
    return pd.DataFrame(said, index=last.barcodes, columns=genes), cost


def scored_genes(bench: Bench, problem: Problem, said: pd.DataFrame, seed: int) -> dict[str, float]:
    """Metrics over all genes said and measured: PCC of the most variable of the teaching sections, and by sets."""
    known = genes_of(bench, problem.test)
    genes = [gene for gene in said if gene in known]
    spots = said.index[said.notna().all(axis=1)]
    truth = expression_of(bench, problem.test, genes).loc[spots].to_numpy()
    answer = said.loc[spots, genes].to_numpy(np.float64)
    obs = read_annotations(prepared(bench, problem.test).filtered, FILTERED).obs
    total = obs["total_counts"].loc[spots].to_numpy(np.float64)
    plain = pd.Series(gene_correlations(answer, truth), index=genes)
    adjusted = pd.Series(depth_adjusted_correlations(answer, truth, total), index=genes)
    before = np.concatenate([expression_of(bench, name, genes).to_numpy() for name in problem.train])
    top = np.argsort(-column_variance(before), kind="stable")[:TOP]
    found = {"PCC": plain.mean(), "depth-adjusted PCC": adjusted.mean()}
    found |= {f"PCC top {TOP}": plain.iloc[top].mean()}
    sets = read_gene_sets(gene_sets(bench, problem))
    level = pd.Series(before.mean(axis=0), index=genes)
    inside, random = beside_random(plain, sets, level, seed)
    return found | {
        "PCC in Hallmark sets": inside,
        "PCC in random sets": random,
        "Hallmark less random": inside - random,
    }


def beside_random(
    correlation: pd.Series, sets: Mapping[str, Sequence[str]], level: pd.Series, seed: int
) -> tuple[float, float]:
    """Mean over sets of the mean correlation inside, and in random sets of equal size and like expression.

    Random genes are in no set, and of the same classes of mean expression (`level`, by gene) as the members.
    """
    rng = np.random.default_rng(seed)
    correlation = correlation.dropna()
    classes = pd.qcut(level[correlation.index].rank(method="first"), CLASSES, labels=False)
    member = {gene for genes in sets.values() for gene in genes}
    others = correlation.index[~correlation.index.isin(member)]
    pool = {number: correlation[others][classes[others] == number].to_numpy() for number in range(CLASSES)}
    inside, random = [], []
    for genes in sets.values():
        own = correlation.index.intersection(list(genes))
        own = own[[len(pool[number]) > 0 for number in classes[own]]]
        if len(own):
            inside.append(correlation[own].mean())
            random.append(np.mean([rng.choice(pool[number], DRAWS).mean() for number in classes[own]]))
    return float(np.mean(inside)), float(np.mean(random))
