"""What can be said without a network of genes that a panel lacks, and of genes that only the neighbours show.

From an atlas: the mixture of its profiles (the workflow's own imputation), or the mean of the atlas cells that are
most alike. From the part of the section that teaches: ridges on the cell's own genes and on those around it.
"""

from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import anndata as ad
import numpy as np
import pandas as pd

from benchmarks.problems import Atlas, derive, prepared_atlas
from benchmarks.spatial_baselines import RINGS, WIDER, between, centred, ridge_weights
from benchmarks.spatial_network import Bench
from tissuemake.contracts import FILTERED, PROPORTIONS, known_shares, read_anndata, read_table
from tissuemake.deconvolution import deconvolve
from tissuemake.domains.neighbors import microns
from tissuemake.imputation import reference_based
from tissuemake.sheets import Reference

MIXTURE, ALIKE = "reference: mixture of profiles", "reference: 50 most alike cells"
OWN, AROUND, BOTH = "own genes + ridge", "around genes + ridge", "own + around genes + ridge"
MEANS = {"mean of 6 nearest": 6, "mean of 18 nearest": 18, "mean of 36 nearest": 36, "mean of 90 nearest": 90}
UNMEASURED = ("section mean", "library size", MIXTURE, ALIKE, OWN, AROUND, BOTH)
MEASURED_AROUND = ("section mean", "library size", *MEANS, OWN, AROUND, BOTH)
CELLS_ALIKE = 50
# Half a unit of log depth is about its deviation.
DEPTH_UNIT = 0.5


def answer(bench: Bench, method: str, teach: Path, shown: Path, hidden: list[str]) -> dict[str, np.ndarray]:
    """Values (cells,) of each hidden gene that the method can speak of.

    Parameters
    ----------
    teach, shown
        ``filtered.h5ad`` of the part that teaches and of the one that asks; the latter may lack the hidden genes.
    """
    asked = read_anndata(shown, FILTERED)
    if method == MIXTURE:
        return _mixture(bench, shown, asked, hidden)
    if method == ALIKE:
        return _alike(bench, asked, hidden)
    if method in MEANS:
        values = between(microns(asked), 0, MEANS[method]) @ asked[:, hidden].X.toarray()
        return _named(values, hidden)
    cells = read_anndata(teach, FILTERED)
    truth = cells[:, hidden].X.toarray()
    if method == "section mean":
        return _named(np.tile(truth.mean(axis=0), (asked.n_obs, 1)), hidden)
    if method == "library size":
        own, other = (centred(_log_depth(part))[:, None] for part in (cells, asked))
        return _named(other @ (own.T @ truth / (own**2).sum()), hidden)
    target = centred(truth)
    inputs, others = (_inputs(part, method, hidden, asked.var_names) for part in (cells, asked))
    weights = ridge_weights(inputs, target / np.maximum(target.std(axis=0), 1e-6))
    return _named(others @ weights, hidden)


def _named(values: np.ndarray, genes: list[str]) -> dict[str, np.ndarray]:
    return {gene: values[:, i] for i, gene in enumerate(genes)}


def _log_depth(cells: ad.AnnData) -> np.ndarray:
    return np.log(np.maximum(np.asarray(cells.layers["counts"].sum(axis=1)).ravel(), 1))


def _inputs(cells: ad.AnnData, method: str, hidden: list[str], measured: pd.Index) -> np.ndarray:
    """Log values of the other genes, of the cell and of the rings around it, with depth; `hidden` at no centre.

    Rings hold the genes that were `measured` where it is asked, hidden ones among them or not.
    """
    shown = cells[:, ~cells.var_names.isin(hidden)].X.toarray()
    depth = centred(_log_depth(cells))[:, None] / DEPTH_UNIT
    blocks = [] if method == AROUND else [shown, depth, depth**2]
    if method != OWN:
        known = np.hstack([cells[:, measured].X.toarray(), depth])
        blocks += [
            between(microns(cells), *bounds) @ known for bounds in pairwise((0, *RINGS["none"], *WIDER))
        ]
    return centred(np.hstack(blocks))


def atlas(bench: Bench) -> Atlas:
    """Motor cortex, its finest types, prepared once."""
    path = derive(bench.data, bench.work) / "motor_cortex.h5ad"
    return prepared_atlas(
        Reference("motor-cortex-fine", str(path), "cell_type", "mouse"), bench.work / "references"
    )


@lru_cache(maxsize=2)
def reference_genes(bench: Bench) -> set[str]:
    """Genes that the atlas has."""
    return set(atlas(bench).signatures.index)


def _mixture(bench: Bench, shown: Path, asked: ad.AnnData, hidden: list[str]) -> dict[str, np.ndarray]:
    """The workflow's imputation on its NNLS composition, of the genes that were measured."""
    files = atlas(bench).files
    with TemporaryDirectory() as folder:
        output = Path(folder) / "proportions.parquet"
        deconvolve("nnls", shown, files["reference"], files["signatures"], files["markers"], output, seed=0)
        shares = known_shares(read_table(output, PROPORTIONS))
    imputed = reference_based.predict(
        asked,
        ad.read_h5ad(files["reference"]),
        pd.read_parquet(files["signatures"]),
        shares,
        np.array([], dtype=int),
    )
    return {gene: np.asarray(imputed[:, gene].X).ravel() for gene in hidden if gene in imputed.var_names}


def _alike(bench: Bench, asked: ad.AnnData, hidden: list[str]) -> dict[str, np.ndarray]:
    """Mean of the atlas cells with the nearest standardised log values of the shared genes, in 30 components."""
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    cells = ad.read_h5ad(atlas(bench).files["reference"])
    shared = sorted(set(asked.var_names) & set(cells.var_names))
    counts = cells[:, shared].X.toarray()
    known = np.log1p(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * 1e4)
    counts = asked[:, shared].layers["counts"].toarray()
    here = np.log1p(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * 1e4)
    # Platforms differ gene by gene: each is standardised on its own.
    known, here = (centred(part) / np.maximum(part.std(axis=0), 1e-6) for part in (known, here))
    pca = PCA(min(30, len(shared) - 1), random_state=0).fit(known)
    near = NearestNeighbors(n_neighbors=CELLS_ALIKE).fit(pca.transform(known))
    index = near.kneighbors(pca.transform(here), return_distance=False)
    there = [gene for gene in hidden if gene in set(cells.var_names)]
    total = np.maximum(np.asarray(cells.X.sum(axis=1)), 1)
    values = np.log1p(cells[:, there].X.toarray() / total * 1e4)
    return _named(values[index].mean(axis=1), there)
