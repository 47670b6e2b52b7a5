"""Planted programmes: are their activities, and their profile across the tumour's border, found?

Half of a simulated tissue teaches and the other half asks. r is between what is said of a spot and the planted
activity under it; ``hidden`` programmes have no trace in the picture, so from H&E alone theirs is to be about 0.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.histology_sections import PLANTED, Problem
from benchmarks.kept_run import Bench
from benchmarks.pathways_answers import (
    HISTOGRAM_RIDGE,
    MEAN,
    POSITION,
    QUADFLOW,
    RIDGE,
    WIDE_RIDGE,
    asked,
    baseline_answer,
)
from benchmarks.pathways_data import DEFAULT, planted_problem, prepared, scores_of
from benchmarks.score_rows import Row, costing, rows
from tissuemake.contracts import FILTERED, PATHWAYS, read_annotations, read_table
from tissuemake.domains.neighbors import microns
from tissuemake.evaluation.expression_metrics import depth_adjusted_correlations
from tissuemake.evaluation.metrics import pearson
from tissuemake.pathways.border import border_profile, signed_distance
from tissuemake.pathways.values import DEPTHS
from tissuemake.simulate.programmes import BORDER_KINDS

TEST = "planted programmes"
MEASURED = {f"measured, {depth}": depth for depth in DEPTHS}
FROM_IMAGE = (MEAN, POSITION, HISTOGRAM_RIDGE, RIDGE, WIDE_RIDGE)
# Taught with scores from which depth was not taken.
OTHERS = {f"{QUADFLOW}, {depth} scores": depth for depth in DEPTHS if depth != DEFAULT}
INSIDE = "tumour"
VISIBLE, LOWEST, HIDDEN, PROFILE = "r, seen in H&E", "lowest of these", "r, hidden", "r of border profile"
# Of the truth without what log library size explains of it.
ADJUSTED = "depth-adjusted r, seen in H&E"
GROUPS = {"r, border": BORDER_KINDS, "r, zones": ("zone",), "r, nuclei": ("nuclei",)}


def parts(test: str) -> Iterator[tuple[Problem, str]]:
    """Methods; each seed is a tissue of its own."""
    # The sections of a seed are known only when it is asked.
    problem = Problem(f"{PLANTED}, half -> half", (), "")
    yield from ((problem, method) for method in (*MEASURED, *FROM_IMAGE, QUADFLOW, *OTHERS))


def score(bench: Bench, test: str, problem: Problem, method: str, seed: int) -> Iterator[Row]:
    """Rows of one method on one tissue."""
    own = planted_problem(seed)
    if method in MEASURED:
        with costing() as cost:
            said = scores_of(bench, own, own.test, MEASURED[method])
    elif method in FROM_IMAGE:
        said, cost = baseline_answer(bench, own, DEFAULT, method, seed)
    else:
        pathways, _, cost = asked(bench, own, QUADFLOW, seed, OTHERS.get(method, DEFAULT))
        said = read_table(pathways, PATHWAYS)
    said = said[said.notna().all(axis=1)]
    yield from rows(test, problem.name, method, seed, _scores(bench, own, said), cost)


def _scores(bench: Bench, problem: Problem, said: pd.DataFrame) -> dict[str, float]:
    folder = prepared(bench, problem.test).filtered.parent
    truth = pd.read_csv(folder / "visium_programmes.tsv", sep="\t", index_col=0).loc[said.index, said.columns]
    kinds = pd.read_csv(folder / "programmes.tsv", sep="\t", index_col=0)["kind"][said.columns]
    spots = read_annotations(prepared(bench, problem.test).filtered, FILTERED)
    spots = spots[said.index]
    found = by_kind(said, truth, kinds, spots.obs["total_counts"].to_numpy(np.float64))
    zones = pd.read_csv(folder / "zones.tsv", sep="\t", index_col=0)["label"].loc[said.index]
    planted = pd.read_csv(folder / "visium_border.tsv", sep="\t", index_col=0)["distance_um"].loc[said.index]
    of_border = kinds.index[kinds.isin(BORDER_KINDS)]
    labelled = signed_distance(microns(spots), (zones == INSIDE).to_numpy())
    return found | {
        PROFILE: profile_agreement(
            microns(spots), said[of_border], labelled, truth[of_border], planted.to_numpy()
        )
    }


def by_kind(
    said: pd.DataFrame, truth: pd.DataFrame, kinds: pd.Series, total_counts: np.ndarray
) -> dict[str, float]:
    """Mean r of programmes (columns) by what they follow, and the lowest among those that H&E shows."""
    values = np.nan_to_num(pearson(said.to_numpy(np.float64), truth.to_numpy(np.float64)))
    r = pd.Series(values, index=said.columns)
    seen = r[kinds != "hidden"]
    found = {VISIBLE: seen.mean(), LOWEST: seen.min()}
    left = depth_adjusted_correlations(
        said[seen.index].to_numpy(), truth[seen.index].to_numpy(), total_counts
    )
    found[ADJUSTED] = np.nan_to_num(left).mean()
    found |= {name: r[kinds.isin(group)].mean() for name, group in GROUPS.items()}
    return found | {HIDDEN: r[kinds == "hidden"].mean()}


def profile_agreement(
    positions: np.ndarray,
    said: pd.DataFrame,
    labelled: np.ndarray,
    truth: pd.DataFrame,
    planted: np.ndarray,
) -> float:
    """Mean r over programmes between the profile found from labelled spots and that of the planted activity.

    Parameters
    ----------
    labelled, planted
        (spots,) µm: distance to the border of the labels, and to that which was planted.
    """
    keys = ["pathway", "from_um"]
    found = border_profile(positions, labelled, said).set_index(keys)["mean"]
    known = border_profile(positions, planted, truth).set_index(keys)["mean"]
    both = pd.DataFrame({"found": found, "known": known}).dropna()
    steps = [np.nan_to_num(part.corr().iloc[0, 1]) for _, part in both.groupby(level=0) if len(part) > 2]
    return float(np.mean(steps)) if steps else float("nan")
