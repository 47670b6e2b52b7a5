"""How good labels of single cells are, and whom pseudo-spots say to trust: real cells, atlas of another platform.

    python tests/benchmarks/cells.py --data DATA --work FOLDER

STARmap section 2 (465 cells typed by its authors) and a Xenium mouse brain (18,110 cells, no types), both with the
motor cortex atlas. Prints the tables of CELLS.md. Beside `transfer`: the nearest cells of the atlas in shared
components (15 neighbours, cosine, 30 components of log counts scaled by gene), a logistic regression on the same
values of as many cells of each type, the largest share of NNLS, and the most frequent type.
"""

import argparse
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.problems import Atlas, derive, prepared_atlas
from real.prepare import STARMAP_TO_SECTION2
from tissuemake.cell_types.label import label_cells, transferred
from tissuemake.contracts import CELL_TYPES, EVALUATION, FILTERED, read_anndata, read_table
from tissuemake.deconvolution import METHODS, deconvolve
from tissuemake.evaluation.annotation_scores import macro_f1
from tissuemake.evaluation.metrics import presence_rank
from tissuemake.evaluation.pseudo_spot_scores import score_pseudo_spots, spots_name
from tissuemake.evaluation.pseudo_spots import make_pseudo_spots
from tissuemake.genes import match_genes
from tissuemake.ingest import ingest_sample
from tissuemake.quality.filter import filter_spots
from tissuemake.reporting.pseudo_spots import verdicts
from tissuemake.sheets import Reference, Sample

PANELS = (1.0, 0.5, 0.25)
NEIGHBORS, COMPONENTS, PER_TYPE = 15, 30, 200


def filtered(row: Sample, work: Path) -> Path:
    """The sample through the workflow's own ingest and filter, once."""
    path = work / f"{row.sample}.h5ad"
    if not path.exists():
        ingest_sample(row, work / "ingested.h5ad")
        filter_spots(work / "ingested.h5ad", path)
    return path


def scaled(counts: sp.csr_matrix) -> np.ndarray:
    """Log counts scaled to the median depth, every gene standardised within its own data set."""
    depth = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
    logged = np.log1p((sp.diags(np.median(depth) / depth) @ counts).toarray())
    return np.clip((logged - logged.mean(0)) / (logged.std(0) + 1e-2), -10, 10)


def others(cells: ad.AnnData, atlas: Atlas, folder: Path) -> dict[str, pd.Series]:
    """Labels by what `transfer` is compared with."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    match = match_genes(cells.var, atlas.cells.var)
    known, types = (
        scaled(sp.csr_matrix(atlas.cells.X)[:, match.right]),
        atlas.cells.obs["cell_type"].astype(str),
    )
    asked = scaled(sp.csr_matrix(cells.layers["counts"])[:, match.left])
    reduced = PCA(COMPONENTS, random_state=0).fit(known)
    near = KNeighborsClassifier(NEIGHBORS, metric="cosine").fit(reduced.transform(known), types)
    rng = np.random.default_rng(0)
    even = np.concatenate(
        [rng.choice(np.flatnonzero(types == name), PER_TYPE) for name in sorted(set(types))]
    )
    again = scaled(sp.csr_matrix(atlas.cells.X)[even][:, match.right])
    line = LogisticRegression(C=0.01, max_iter=300).fit(again, types.iloc[even])
    shares = folder / "nnls.parquet"
    deconvolve("nnls", folder / "starmap.h5ad", *atlas.files.values(), shares)
    found = {
        "nearest cells": near.predict(reduced.transform(asked)),
        "logistic regression": line.predict(asked),
        "nnls, largest share": pd.read_parquet(shares).idxmax(axis=1).to_numpy(),
    }
    return {name: pd.Series(labels, cells.obs_names) for name, labels in found.items()}


def score_labels(path: Path, truth: pd.Series, atlas: Atlas, work: Path) -> None:
    """Accuracy on cells of types that the atlas has; what is called unknown; calibration."""
    cells = read_anndata(path, FILTERED)
    truth = truth[cells.obs_names]
    known = truth.isin(atlas.signatures.columns)
    label_cells(path, work / "labels.parquet", reference=atlas.files["reference"])
    table = read_table(work / "labels.parquet", CELL_TYPES)
    found = {"transfer": table["guess_transfer"], **others(cells, atlas, work)}
    found["most frequent type"] = pd.Series(truth[known].mode()[0], truth.index)
    print(f"\n| labels of {known.sum()} cells | accuracy | macro F1 |\n|---|---|---|")
    for name, labels in found.items():
        right = (labels == truth)[known]
        print(f"| {name} | {right.mean():.3f} | {macro_f1(labels[known], truth[known]):.3f} |")
    called = table["cell_type"] == "unknown"
    right = (table["guess_transfer"] == truth)[known]
    doubted, lost = called[~known].mean(), called[known].mean()
    print(f"\nunknown: {doubted:.0%} of {(~known).sum()} foreign cells, {lost:.0%} of the others; right are")
    print(f"{right[~called].mean():.3f} of the labelled, {right[called].mean():.3f} of those called unknown")
    print("\n| confidence | cells | right |\n|---|---|---|")
    for low, high in ((0, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
        inside = table["confidence"][known].between(low, high, inclusive="left")
        print(f"| {low:g} to {min(high, 1):g} | {inside.sum()} | {right[inside].mean():.3f} |")
    print(
        "\n| type left out of the atlas | cells | called unknown | of the others | AUROC |\n|---|---|---|---|---|"
    )
    for name in sorted(set(truth[known])):
        foreign = truth == name
        if foreign.sum() >= 10:
            rest = atlas.cells[atlas.cells.obs["cell_type"].astype(str) != name].copy()
            sure = transferred(cells, rest, {})["confidence"]
            doubt = sure < 0.5
            rank = presence_rank(1 - sure[known].to_numpy(), foreign[known].to_numpy().astype(float))
            shares = f"{doubt[foreign].mean():.2f} | {doubt[known & ~foreign].mean():.2f}"
            print(f"| {name} | {foreign.sum()} | {shares} | {rank:.2f} |")


def trust(name: str, path: Path, atlas: Atlas, work: Path, lattice: str, **known: str | Path) -> None:
    """Methods without an environment of their own on pseudo-spots of one sample."""
    answers, truths = {}, {}
    for panel in PANELS:
        spots = spots_name(lattice, panel)
        folder = work / name / spots
        folder.mkdir(parents=True, exist_ok=True)
        truths[spots] = folder / "truth.tsv"
        make_pseudo_spots(
            path, folder / "filtered.h5ad", truths[spots], lattice=lattice, panel=panel, **known
        )
        answers[spots] = {method: folder / f"{method}.parquet" for method in METHODS[:2]}
        for method, output in answers[spots].items():
            deconvolve(method, folder / "filtered.h5ad", *atlas.files.values(), output)
    output = work / name / "scores.parquet"
    score_pseudo_spots(name, answers, truths, output, reference=atlas.files["reference"])
    print(f"\n{name}:")
    print("\n".join(f"- {line}" for line in verdicts(read_table(output, EVALUATION))))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    work = given.work.resolve()
    derived = derive(given.data, work)
    atlas = prepared_atlas(
        Reference("motor-cortex", str(derived / "motor_cortex.h5ad"), "coarse", "mouse"), work
    )
    source = given.data / "deconv_truth" / "starmap_section2_left_cells" / "reference_cells.h5ad"
    types = ad.read_h5ad(source).obs["cell_type"].astype(str)
    truth = types.replace({short: name for name, short in STARMAP_TO_SECTION2.items()})
    starmap = filtered(Sample("starmap", "h5ad", str(source), organism="mouse", mpp=0.0687), work)
    score_labels(starmap, truth, atlas, work)
    composition = work / "truth.tsv"
    pd.get_dummies(truth).astype(int).to_csv(composition, sep="\t", index_label="barcode")
    trust("starmap, cells typed by its authors", starmap, atlas, work, "square", truth=str(composition))
    brain = given.data / "xenium" / "mouse_brain_coronal_left_half"
    xenium = filtered(Sample("brain", "xenium", str(brain), organism="mouse"), work)
    label_cells(xenium, work / "brain.parquet", reference=atlas.files["reference"])
    trust(
        "xenium brain, labels for truth", xenium, atlas, work, "hexagonal", cell_types=work / "brain.parquet"
    )


if __name__ == "__main__":
    main()
