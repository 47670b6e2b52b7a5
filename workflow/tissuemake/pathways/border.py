"""How pathways change across a border of the tissue: their means by signed distance, from labels or a prediction."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from tissuemake.contracts import FILTERED, PATHWAY_BORDER, PATHWAYS, read_annotations, read_table, write_table
from tissuemake.errors import InputError
from tissuemake.pathways.sides import positions_um, read_sides
from tissuemake.provenance import measured

# A patch of fewer spots has no inside: a lone label, or a lone wrong answer of a prediction.
FEWEST_IN_PATCH = 3
FEWEST_IN_BIN = 3
REACH_UM = 500.0
# Spots further from each other than so many pitches are not of one patch.
TOUCHING = 1.6
BLOCKS, DRAWS = 16, 200
INTERVAL = (2.5, 97.5)
# A section without tumour must not end a run.
NOTHING_TO_SAY = ("no_border", "unknown_label")


def measure_border(
    filtered: Path,
    scores: Path,
    border: str,
    output: Path,
    *,
    inside: Sequence[str] = (),
    width_um: float | None = None,
    reach_um: float = REACH_UM,
    seed: int = 0,
    source_path: str = "",
    strict: bool = True,
) -> None:
    """Write the distance profile of every pathway (contract PATHWAY_BORDER).

    Parameters
    ----------
    filtered
        Section of the contract FILTERED: where its spots are.
    scores
        Contract PATHWAYS, measured or predicted.
    border
        What says who is inside: a table of labels by barcode (csv, tsv), ``obs:COLUMN``, or a parquet of this
        workflow: tumour (probability from 0.5 on), annotated labels, domains (``FILE.parquet#COLUMN``; ``spatial``
        when no column is named).
    inside
        The labels inside the border; of tumour probabilities none are needed.
    width_um, reach_um
        Of a step of the profile, one pitch by default; and how far it goes on both sides.
    source_path
        The sample's own h5ad, read for ``obs:COLUMN`` where the filtered section no longer has the column.
    strict
        Whether a section without a border is an error; if not, its table is empty and ``reason`` says why.

    Raises
    ------
    InputError
        ``no_border``; those of `read_sides`.
    """
    spots = read_annotations(filtered, FILTERED)
    table = read_table(scores, PATHWAYS)
    with measured("pathway_border", seed=seed, border=str(border), inside=list(inside)) as record:
        try:
            sides = read_sides(border, spots, inside, source_path)
            where, distance, known = _distances(spots, sides, table)
            profile = border_profile(where, distance, known, width_um=width_um, reach_um=reach_um, seed=seed)
        except InputError as error:
            if strict or error.code not in NOTHING_TO_SAY:
                raise
            record["reason"] = str(error)
            profile = pd.DataFrame(columns=list(PATHWAY_BORDER.columns))
    write_table(profile, output, PATHWAY_BORDER, record)


def _distances(spots, sides: pd.Series, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Positions and distances of all spots with a side, and the scores of those among them that have scores."""
    where = pd.DataFrame(positions_um(spots), index=spots.obs_names).loc[sides.index].to_numpy()
    distance = signed_distance(where, sides.to_numpy(bool))
    scored = sides.index.isin(table.index[table.notna().all(axis=1)])
    if not (scored.any() and len(table.columns)):
        raise InputError(
            "no_border",
            "No spot has both a side of the border and scores of pathways.",
            "See why the section has no scores, or whether labels bear its barcodes.",
        )
    return where[scored], distance[scored], table.loc[sides.index[scored]]


def signed_distance(positions: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Distance (n,) in µm to the border, negative inside; NaN in patches too small to have an inside.

    The border lies half way between a spot and the nearest one of the other side, so that two neighbours of a
    lattice are half a pitch away from it, one on each side.

    Parameters
    ----------
    positions
        (n, 2) µm.
    inside
        (n,) bool.

    Raises
    ------
    InputError
        ``no_border`` when no patch is left on one of the sides.
    """
    half = pitch(positions) / 2
    inside = np.asarray(inside, bool)
    counted = _in_patches(positions, inside, TOUCHING * 2 * half)
    sides = [np.flatnonzero(counted & (inside == side)) for side in (False, True)]
    if not all(len(side) for side in sides):
        raise InputError(
            "no_border",
            f"{int(inside.sum())} of {len(inside)} spots are inside, and no {FEWEST_IN_PATCH} neighbours lie "
            f"{'outside' if len(sides[1]) else 'inside'}: there is no border.",
            "Name labels that a part of the tissue has.",
        )
    distance = np.full(len(positions), np.nan)
    for sign, own, other in ((1, *sides), (-1, *sides[::-1])):
        distance[own] = sign * (cKDTree(positions[other]).query(positions[own])[0] - half)
    return distance


def pitch(positions: np.ndarray) -> float:
    """Distance from a spot to the nearest other, median, µm."""
    return float(np.median(cKDTree(positions).query(positions, k=2)[0][:, 1])) if len(positions) > 1 else 0.0


def _in_patches(positions, inside, reach):
    """Whether each observation stands with enough others of its side."""
    pairs = cKDTree(positions).query_pairs(reach, output_type="ndarray")
    pairs = pairs[inside[pairs[:, 0]] == inside[pairs[:, 1]]]
    graph = sp.coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(positions),) * 2)
    patch = connected_components(graph, directed=False)[1]
    return np.bincount(patch)[patch] >= FEWEST_IN_PATCH


def border_profile(
    positions: np.ndarray,
    distance: np.ndarray,
    scores: pd.DataFrame,
    *,
    width_um: float | None = None,
    reach_um: float = REACH_UM,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean of each pathway in steps of distance, with an interval that knows that neighbours resemble each other.

    Parameters
    ----------
    positions, distance
        (n, 2) and (n,) µm; `distance` of `signed_distance`.
    scores
        (n, pathways).

    Returns
    -------
    pandas.DataFrame
        A row per pathway and step: ``pathway``, ``from_um``, ``to_um``, ``distance_um`` (mean of the spots),
        ``mean``, ``low`` and ``high`` (95 %, compact blocks of the tissue drawn anew), ``spots``.
    """
    width = float(width_um or pitch(positions))
    kept = np.isfinite(distance) & (np.abs(distance) <= reach_um)
    step = np.floor(distance[kept] / width).astype(int)
    steps, index = np.unique(step, return_inverse=True)
    values = scores.to_numpy(np.float64)[kept]
    block = _blocks(positions[kept], seed)
    blocks = block.max(initial=0) + 1
    spots, sums = np.zeros((blocks, len(steps))), np.zeros((blocks, len(steps), values.shape[1]))
    np.add.at(spots, (block, index), 1)
    np.add.at(sums, (block, index), values)
    low, high = _interval(spots, sums, seed)
    mean = sums.sum(axis=0) / spots.sum(axis=0)[:, None]
    here = np.bincount(index, weights=distance[kept]) / spots.sum(axis=0)
    parts = [
        pd.DataFrame(
            {
                "pathway": name,
                "from_um": steps * width,
                "to_um": (steps + 1) * width,
                "distance_um": here,
                "mean": mean[:, column],
                "low": low[:, column],
                "high": high[:, column],
                "spots": spots.sum(axis=0).astype(int),
            }
        )
        for column, name in enumerate(scores.columns)
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[table["spots"] >= FEWEST_IN_BIN].reset_index(drop=True)


def _blocks(positions, seed):
    """Compact blocks of the tissue (n,), about as many spots in each: k-means of positions."""
    from sklearn.cluster import KMeans

    return KMeans(min(BLOCKS, len(positions)), n_init=1, random_state=seed).fit_predict(positions)


def _interval(spots, sums, seed):
    """Percentiles (steps, pathways) of the means when blocks are drawn with replacement."""
    blocks = len(spots)
    draws = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), DRAWS).astype(float)
    count = (draws @ spots)[..., None]
    total = np.tensordot(draws, sums, axes=1)
    means = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return np.nanpercentile(means, INTERVAL, axis=0)
