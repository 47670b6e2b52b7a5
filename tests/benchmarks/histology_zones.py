"""Domains of simulated tissues beside their zones: from the image alone, with expression, and from expression alone.

Domains are those of the workflow (`tissuemake.domains.cluster`): every row has the same clusterer, and, where the
metric does not say otherwise, the same number of domains: that of the workflow's own choice from expression
(``spatial``), and at least three. For this each row takes the resolution nearest to the shipped one that gives it the
number, or comes nearest to it; no zone is looked at. ``as shipped`` is the shipped resolution for all, with as many
domains as it gives.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import histology_highres
from benchmarks.histology_encoders import Bench, embedded
from benchmarks.histology_rows import ALONE, BLOCKS, ONE_DOMAIN, PCA, SPATIAL, WITH_EXPRESSION, Row
from benchmarks.histology_rows import rows as as_rows
from benchmarks.histology_sections import Prepared, simulated_problem
from tissuemake.contracts import DOMAINS, FILTERED, read_annotations, read_table
from tissuemake.domains.cluster import RESOLUTION, cluster_domains
from tissuemake.evaluation.metrics import adjusted_rand, mutual_information

TEST = "zones"
ENCODERS = ("color", "untrained", "spafoundation")
# Of domains to compare: in one or two there is nothing to be right about.
FEWEST = 3
EXPRESSION = {"pca": PCA, "spatial": SPATIAL}
RESOLUTIONS = (RESOLUTION, *np.geomspace(0.05, 3.0, 15).round(3).tolist())


def rows(bench: Bench, seed: int) -> Iterator[Row]:
    """All scores of one seed: two simulated tissues, and the chance in networks and clusters."""
    for problem, section, embeddings in problems(bench, seed):
        zones = pd.read_csv(section.filtered.parent / "zones.tsv", sep="\t", index_col=0)["label"]
        spots = read_annotations(section.filtered, FILTERED)
        by_resolution = _domains(section.filtered, embeddings, bench.own / "zones" / section.name, seed)
        shipped = by_resolution[RESOLUTION]
        own_tiles = shipped.dropna().index
        positions = pd.DataFrame(np.asarray(spots.obsm["spatial"], float), index=spots.obs_names)
        found = scores(
            {resolution: table.loc[own_tiles] for resolution, table in by_resolution.items()},
            zones.reindex(own_tiles),
            positions.loc[own_tiles].to_numpy(),
            seed,
        )
        for column, values in found.items():
            yield from as_rows(TEST, problem, _method(column), seed, values)


def problems(bench: Bench, seed: int) -> Iterator[tuple[str, Prepared, dict[str, Path]]]:
    """Name, tissue and embeddings by encoder; all are those of other tests."""
    half = simulated_problem(seed).test
    prepared = bench.section(half)
    whole = replace(prepared, name=prepared.slide, filtered=prepared.filtered.with_name("filtered.h5ad"))
    yield (
        "simulated, 600 spots, infiltrated",
        whole,
        {name: embedded(bench, name, half, seed) for name in ENCODERS},
    )
    small = histology_highres.tissue(bench.work, seed)
    yield (
        "simulated, 150 spots, plans take turns",
        small,
        {name: histology_highres.all_embedded(bench, small, name, seed) for name in ENCODERS},
    )


def _domains(
    filtered: Path, embeddings: Mapping[str, Path], output: Path, seed: int
) -> dict[float, pd.DataFrame]:
    """The workflow's table of domains by resolution."""
    found = {}
    for resolution in RESOLUTIONS:
        path = output / f"{resolution}.parquet"
        cluster_domains(filtered, path, resolution=resolution, seed=seed, embeddings=embeddings)
        found[resolution] = read_table(path, DOMAINS)
    return found


def scores(
    by_resolution: Mapping[float, pd.DataFrame], zones: pd.Series, positions: np.ndarray, seed: int
) -> dict[str, dict[str, float]]:
    """Metrics by column of the domains and by trivial answer.

    Parameters
    ----------
    by_resolution
        Domains of the same spots by the resolution of the clusterer, `RESOLUTION` among them.
    zones
        (spots,) truth.
    positions
        (spots, 2), of which blocks are made.
    """
    shipped = by_resolution[RESOLUTION]
    number = max(shipped["spatial"].nunique(), FEWEST)
    answers = {column: (same_number(by_resolution, column, number), shipped[column]) for column in shipped}
    blocks = _blocks(positions, number, seed)
    answers |= {ONE_DOMAIN: (np.ones(len(zones)),) * 2, BLOCKS: (blocks, blocks)}
    found = {}
    for name, (alike, own) in answers.items():
        found[name] = {
            "ARI": adjusted_rand(np.asarray(alike), zones.to_numpy()),
            "NMI": mutual_information(np.asarray(alike), zones.to_numpy()),
            "ARI as shipped": adjusted_rand(np.asarray(own), zones.to_numpy()),
            "NMI as shipped": mutual_information(np.asarray(own), zones.to_numpy()),
        }
    return found


def same_number(by_resolution: Mapping[float, pd.DataFrame], column: str, number: int) -> pd.Series:
    """The labels with `number` domains, or nearest to it, of the resolution nearest to the shipped one."""

    def away(resolution: float) -> tuple[float, float]:
        domains = by_resolution[resolution][column].nunique()
        return abs(domains - number), abs(np.log(resolution / RESOLUTION))

    return by_resolution[min(by_resolution, key=away)][column]


def _blocks(positions: np.ndarray, number: int, seed: int) -> np.ndarray:
    """As many compact blocks as there are domains, wherever they fall."""
    from sklearn.cluster import KMeans

    return KMeans(number, n_init=1, random_state=seed).fit_predict(positions)


def _method(column: str) -> str:
    """Encoder and what is read, as rows are named."""
    if column in (ONE_DOMAIN, BLOCKS):
        return column
    if column in EXPRESSION:
        return EXPRESSION[column]
    encoder, _, expression = column.partition("+")
    return f"{encoder}, {WITH_EXPRESSION if expression else ALONE}"
