"""Genes that a Xenium panel lacks: 20 % of it is taken out of one part of a section, another part teaches.

Split by position: of the left half of a coronal mouse brain the left part teaches and the right part asks, 200 µm
apart. *not measured*: the file that asks has no column of a hidden gene, neither at the centre nor around it, and its
library sizes are without them; the truth is log1p CP10k of the whole panel. *hidden at the centre*: neighbours
measured the gene.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp

from benchmarks import spatial_panel_answers as answers
from benchmarks.score_rows import Cost, Row, costing, rows
from benchmarks.spatial_network import (
    CLIQUE,
    DISTURBED,
    SAGEFM,
    Bench,
    loaded,
    predicted,
    section_of,
    trained_on,
)
from benchmarks.spatial_questions import SEEN_IN
from benchmarks.spatial_sections import XENIUM, filtered
from tissuemake.contracts import FILTERED, read_anndata, write_anndata
from tissuemake.domains.neighbors import microns
from tissuemake.evaluation.expression_metrics import (
    depth_adjusted_correlations,
    gene_correlations,
    noise_ceiling,
)
from tissuemake.files import atomic

TEST = "panel"
GAP_UM = 200.0
HIDDEN_SHARE = 0.2
CEILING = "noise ceiling"


@dataclass(frozen=True)
class Problem:
    """`lacking`: whether the hidden genes were measured nowhere in the part that asks."""

    name: str
    lacking: bool


PROBLEMS = (
    Problem("Xenium brain, left -> right, not measured", True),
    Problem("Xenium brain, left -> right, hidden at the centre", False),
)


def parts(test: str) -> Iterator[tuple[Problem, str]]:
    """Every problem with every method, in the order of the table."""
    for problem in PROBLEMS:
        own = answers.UNMEASURED if problem.lacking else answers.MEASURED_AROUND
        for method in (*own, CLIQUE, SAGEFM, *DISTURBED, CEILING):
            yield problem, method


def score(bench: Bench, test: str, problem: Problem, method: str, seed: int) -> Iterator[Row]:
    """Rows of one method on one problem."""
    teach, asked = halves(bench)
    whole = read_anndata(asked, FILTERED)
    hidden = hidden_genes(read_anndata(teach, FILTERED), seed)
    known = answers.reference_genes(bench)
    if method == CEILING:
        found = _ceilings(whole, hidden, known)
        yield from rows(test, problem.name, method, seed, found, Cost(float("nan"), float("nan")))
        return
    shown = without(asked, hidden, bench.work / "panel" / f"asked-{seed}.h5ad") if problem.lacking else asked
    if method in (CLIQUE, SAGEFM, *DISTURBED):
        said, cost = _by_network(bench, teach, shown, problem, hidden, method, seed)
    else:
        with costing() as cost:
            said = answers.answer(bench, method, teach, shown, hidden)
    yield from rows(test, problem.name, method, seed, scores(whole, hidden, known, said), cost)


def hidden_genes(teach: ad.AnnData, seed: int) -> list[str]:
    """A fifth of the panel, of genes that are seen in the part that teaches."""
    seen = np.asarray((sp.csr_matrix(teach.X) > 0).mean(axis=0)).ravel() >= SEEN_IN
    names = np.array(sorted(teach.var_names[seen]))
    number = round(HIDDEN_SHARE * teach.n_vars)
    return sorted(np.random.default_rng([seed, 6]).permutation(names)[:number])


def scores(
    whole: ad.AnnData, hidden: list[str], known: set[str], said: dict[str, np.ndarray]
) -> dict[str, float]:
    """Medians over genes: of all hidden, where a method speaks of all, and of those that the reference has."""
    truth = whole[:, hidden].X.toarray()
    total = np.asarray(whole.layers["counts"].sum(axis=1)).ravel()
    columns = np.column_stack([said.get(gene, np.zeros(whole.n_obs)) for gene in hidden])
    kinds = {
        "r": gene_correlations(columns, truth),
        "depth-adjusted r": depth_adjusted_correlations(columns, truth, total),
        "depth-adjusted r, both": depth_adjusted_correlations(columns, truth, total, both=True),
    }
    shared = np.array([gene in known for gene in hidden])
    found = {}
    if set(hidden) <= set(said):
        found = {name: np.nanmedian(values) for name, values in kinds.items()}
    if shared.any():
        found |= {f"{name}, in the reference": np.nanmedian(values[shared]) for name, values in kinds.items()}
    return found


def _ceilings(whole: ad.AnnData, hidden: list[str], known: set[str]) -> dict[str, float]:
    found, columns = {}, whole.var_names.get_indexer(hidden)
    shared = np.array([gene in known for gene in hidden])
    for name, adjusted in (("r", False), ("depth-adjusted r", True)):
        values = noise_ceiling(whole.layers["counts"], columns, depth_adjusted=adjusted)
        found |= {
            name: np.nanmedian(values),
            f"{name}, in the reference": np.nanmedian(values[shared]),
        }
    return found


def _by_network(
    bench: Bench, teach: Path, shown: Path, problem: Problem, hidden: list[str], method: str, seed: int
) -> tuple[dict[str, np.ndarray], Cost]:
    folder, taught = trained_on(bench, [teach], "xenium-left", CLIQUE if method == CLIQUE else SAGEFM, seed)
    with costing() as cost:
        model = loaded(folder)
        section = section_of(model, shown, method, seed)
        values = predicted(model, section, set(hidden), hidden, everywhere=problem.lacking)
    return {gene: values[:, i] for i, gene in enumerate(hidden)}, cost.and_before(taught)


def halves(bench: Bench) -> tuple[Path, Path]:
    """``filtered.h5ad`` of the part that teaches and of the part that asks, made once."""
    folder = bench.work / "panel"
    paths = folder / "left.h5ad", folder / "right.h5ad"
    if not all(path.is_file() for path in paths):
        cells = read_anndata(filtered(XENIUM, bench.data, bench.work), FILTERED)
        x = microns(cells)[:, 0]
        middle = np.median(x)
        for path, side in zip(paths, (x < middle - GAP_UM / 2, x > middle + GAP_UM / 2), strict=True):
            write_anndata(cells[side].copy(), path, FILTERED)
    return paths


def without(asked: Path, hidden: list[str], output: Path) -> Path:
    """The section as if nobody had measured `hidden`, made once: library sizes and log values without them."""
    if not output.is_file():
        cells = read_anndata(asked, FILTERED)
        cells = cells[:, ~cells.var_names.isin(hidden)].copy()
        counts = sp.csr_matrix(cells.layers["counts"])
        total = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
        cells.X = counts.copy()
        cells.X.data = np.log1p(counts.data * np.repeat(1e4 / total, np.diff(counts.indptr)))
        cells.obs["total_counts"] = total
        cells.obs["n_genes_by_counts"] = np.diff(counts.indptr)
        with atomic(output) as partial:
            cells.write_h5ad(partial)
    return output
