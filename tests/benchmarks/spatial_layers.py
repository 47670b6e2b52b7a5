"""Layers of cortex from embeddings: each embedding with each clusterer, seven domains as there are layers.

No label chooses a seed, an epoch or a resolution. Networks learn from the section itself, as every published method
does; what is *smoothed* is averaged with the spots within two rings first, a step of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import anndata as ad
import h5py
import numpy as np
import pandas as pd

from benchmarks import spatial_peers as peers
from benchmarks.score_rows import Cost, Row, costing, rows
from benchmarks.spatial_network import CLIQUE, SAGEFM, Bench, loaded, trained
from benchmarks.spatial_sections import DLPFC, filtered, row
from tissuemake.contracts import FILTERED, read_anndata
from tissuemake.domains.cluster import expression_embedding
from tissuemake.domains.neighbors import microns
from tissuemake.domains.smoothing import smoothed_embedding
from tissuemake.evaluation.metrics import adjusted_rand, mutual_information
from tissuemake.labels import is_named

TEST = "layers"
DOMAINS = 7
# Two rings: 18 neighbours on a hexagonal lattice, 20 on a square one.
SMOOTHED_PITCHES = 2.3
PCA = "PCA"
KMEANS, MIXTURE, LEIDEN = "k-means", "mixture", "Leiden"
SMOOTHED = ", smoothed"


@dataclass(frozen=True)
class Problem:
    """A section whose layers were drawn by hand."""

    name: str
    section: str


PROBLEMS = tuple(Problem(f"DLPFC {section}", section) for section in DLPFC)


def parts(test: str) -> Iterator[tuple[Problem, str]]:
    """Every section with every embedding and clusterer."""
    there = [PCA, *peers.installed(), CLIQUE, SAGEFM]
    for problem in PROBLEMS:
        for smoothed in ("", SMOOTHED):
            for embedding in there:
                for clusterer in (KMEANS, MIXTURE, LEIDEN):
                    yield problem, f"{embedding}{smoothed} + {clusterer}"


def score(bench: Bench, test: str, problem: Problem, method: str, seed: int) -> Iterator[Row]:
    """Rows of one embedding with one clusterer."""
    path = filtered(problem.section, bench.data, bench.work)
    name, clusterer = method.split(" + ")
    vectors, taught = embedding(bench, name.removesuffix(SMOOTHED), problem.section, seed)
    spots = read_anndata(path, FILTERED)
    with costing() as cost:
        if name.endswith(SMOOTHED):
            vectors = smoothed(vectors, spots)
        found = clusterers()[clusterer](vectors, seed)
    layers = layers_of(bench, problem.section).loc[spots.obs_names]
    named = is_named(layers)
    truth = layers.astype(str).to_numpy()[named]
    scores = {
        "ARI": adjusted_rand(found[named], truth),
        "NMI": mutual_information(found[named], truth),
        "domains": len(np.unique(found)),
    }
    yield from rows(test, problem.name, method, seed, scores, cost.and_before(taught))


def layers_of(bench: Bench, section: str) -> pd.Series:
    """Layer by barcode, as drawn by hand; ingest keeps no labels."""
    path = row(section, bench.data).path
    with h5py.File(path) as file:
        return ad.io.read_elem(file["obs"])["layer"]


def smoothed(vectors: np.ndarray, spots: ad.AnnData) -> np.ndarray:
    """Mean over a spot and those within two rings, all alike."""
    reach = SMOOTHED_PITCHES * float(spots.uns["tissuemake"]["pitch_um"])
    return smoothed_embedding(vectors, microns(spots), reach)


def clusterers() -> dict[str, Callable[[np.ndarray, int], np.ndarray]]:
    """Those of the workflow, each asked for `DOMAINS` domains."""
    from tissuemake.domains.clusterers import kmeans_labels, mixture_labels

    return {
        KMEANS: lambda vectors, seed: kmeans_labels(vectors, DOMAINS, seed),
        MIXTURE: lambda vectors, seed: mixture_labels(vectors, DOMAINS, seed),
        LEIDEN: leiden,
    }


def leiden(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Leiden at the resolution that gives `DOMAINS` domains or comes nearest, by halving."""
    from tissuemake.domains.clusterers import leiden_labels, principal

    rows, low, high = principal(vectors), 0.02, 2.0
    best: tuple[float, np.ndarray] = (np.inf, np.zeros(len(vectors)))
    for _ in range(8):
        middle = float(np.sqrt(low * high))
        found = leiden_labels(rows, middle, seed)
        number = len(np.unique(found))
        if abs(number - DOMAINS) < best[0]:
            best = abs(number - DOMAINS), found
        if number == DOMAINS:
            break
        low, high = (middle, high) if number < DOMAINS else (low, middle)
    return best[1]


@lru_cache(maxsize=4)
def embedding(bench: Bench, name: str, section: str, seed: int) -> tuple[np.ndarray, Cost]:
    """Vectors (spots, k) and what they took, the training of a network with it."""
    path = filtered(section, bench.data, bench.work)
    if name in (SAGEFM, CLIQUE):
        folder, taught = trained(bench, (section,), name, seed)
        with costing() as cost:
            model = loaded(folder)
            vectors = model.embed(model.read(read_anndata(path, FILTERED), str(path)))
        return vectors, cost.and_before(taught)
    if name in peers.PEERS:
        return peers.vectors(name, path, seed, bench.work / "peers" / f"{name}-{section}-{seed}.npy")
    with costing() as cost:
        vectors = expression_embedding(read_anndata(path, FILTERED).X, seed)
    return vectors, cost
