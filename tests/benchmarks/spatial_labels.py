"""Labels of a pathologist on a patient nobody learnt from: a linear probe on embeddings of her2st sections.

A1, C1 and D1 are labelled, one section of each patient. Two teach the probe, the third asks; the network learnt from
the sections of the two teaching patients alone, and so did the components that stand beside it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.score_rows import Cost, Row, costing, rows
from benchmarks.spatial_baselines import centred
from benchmarks.spatial_layers import smoothed
from benchmarks.spatial_network import CLIQUE, SAGEFM, Bench, loaded, trained
from benchmarks.spatial_sections import HER2ST, LABELLED, filtered
from tissuemake.contracts import FILTERED, read_anndata
from tissuemake.evaluation.annotation_scores import macro_f1
from tissuemake.models.probe import fit_probe, within_section

TEST = "labels"
NO_LABEL = "undetermined"
MAJORITY = "most frequent label of the teachers"
COMPONENTS = (20, 50)
SMOOTHED = ", smoothed"


@dataclass(frozen=True)
class Problem:
    """Labelled sections of two patients teach, that of the third asks."""

    name: str
    patient: str

    @property
    def asked(self) -> str:
        """The section that asks."""
        return next(name for name in LABELLED if name[0] == self.patient)

    @property
    def teachers(self) -> tuple[str, ...]:
        """Labelled sections of the others."""
        return tuple(name for name in LABELLED if name[0] != self.patient)

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """All sections of the teaching patients, in the order of the problems of masked genes."""
        return tuple(name for key, names in HER2ST.items() if key != self.patient for name in names)


PROBLEMS = tuple(
    Problem(f"her2st {'+'.join(n for n in LABELLED if n[0] != patient)} -> {patient}1", patient)
    for patient in HER2ST
)


def parts(test: str) -> Iterator[tuple[Problem, str]]:
    """Every problem with every embedding."""
    components = [f"PCA {number}{how}" for number in COMPONENTS for how in ("", SMOOTHED)]
    for problem in PROBLEMS:
        for method in (MAJORITY, *components, CLIQUE, SAGEFM, f"{SAGEFM}{SMOOTHED}"):
            yield problem, method


def score(bench: Bench, test: str, problem: Problem, method: str, seed: int) -> Iterator[Row]:
    """Rows of one embedding."""
    sections = (*problem.teachers, problem.asked)
    spots = {name: read_anndata(filtered(name, bench.data, bench.work), FILTERED) for name in sections}
    truth = {name: labels(bench, name).reindex(one.obs_names) for name, one in spots.items()}
    if method == MAJORITY:
        taught = pd.concat([truth[name] for name in problem.teachers]).dropna()
        found = np.full(spots[problem.asked].n_obs, taught.mode()[0], dtype=object)
        cost = Cost(float("nan"), float("nan"))
    else:
        vectors, before = _vectors(bench, problem, method.removesuffix(SMOOTHED), spots, seed)
        with costing() as cost:
            if method.endswith(SMOOTHED):
                vectors = {name: smoothed(one, spots[name]) for name, one in vectors.items()}
            found = probe(
                [vectors[name] for name in problem.teachers],
                [truth[name] for name in problem.teachers],
                vectors[problem.asked],
            )
        cost = cost.and_before(before)
    asked = truth[problem.asked].reset_index(drop=True)
    there = asked.dropna()
    said = pd.Series(found)[there.index]
    scores = {"accuracy": float((said == there).mean()), "macro-F1": macro_f1(said, there)}
    yield from rows(test, problem.name, method, seed, scores, cost)


def labels(bench: Bench, section: str) -> pd.Series:
    """Label by barcode; spots that the pathologist did not determine are left out."""
    path = bench.data / "st_her2" / "labels" / f"{section}_labeled_coordinates.tsv"
    table = pd.read_csv(path, sep="\t").dropna(subset=["x", "y"])
    x, y = (table[axis].round().astype(int) for axis in ("x", "y"))
    found = pd.Series(table["label"].to_numpy(), index=[f"{i}x{j}" for i, j in zip(x, y, strict=True)])
    found = found[~found.index.duplicated()]
    return found[found != NO_LABEL]


def probe(teach: list[np.ndarray], truth: list[pd.Series], asked: np.ndarray) -> np.ndarray:
    """Labels of `asked` (spots, k) by the workflow's probe; its penalty is the best on one teacher left out."""
    known = [one.notna().to_numpy() for one in truth]
    vectors = [within_section(one)[here] for one, here in zip(teach, known, strict=True)]
    names = [one[here].to_numpy() for one, here in zip(truth, known, strict=True)]
    section = np.repeat(np.arange(len(teach)), [len(one) for one in names])
    folds = [(np.flatnonzero(section != i), np.flatnonzero(section == i)) for i in range(len(teach))]
    fitted, _ = fit_probe(np.concatenate(vectors), np.concatenate(names), folds)
    return fitted.label(within_section(asked))


def _vectors(
    bench: Bench, problem: Problem, name: str, spots: dict, seed: int
) -> tuple[dict[str, np.ndarray], Cost]:
    """Embeddings by section; networks and components learn from the teaching patients."""
    if name in (SAGEFM, CLIQUE):
        folder, taught = trained(bench, problem.unlabelled, name, seed)
        with costing() as cost:
            model = loaded(folder)
            found = {key: model.embed(model.read(one, key)) for key, one in spots.items()}
        return found, cost.and_before(taught)
    from sklearn.decomposition import PCA

    from benchmarks.spatial_questions import ask
    from benchmarks.spatial_sections import HELD_OUT_SECTIONS

    masked = next(one for one in HELD_OUT_SECTIONS if one.train == problem.unlabelled)
    question = ask(masked, 0, bench.data, bench.work)
    with costing() as cost:
        teachers = np.concatenate([centred(slide.values) for slide in question.train])
        pca = PCA(int(name.split()[1]), svd_solver="randomized", random_state=0).fit(teachers)
        found = {
            key: pca.transform(centred(one[:, question.genes].X.toarray())) for key, one in spots.items()
        }
    return found, cost
