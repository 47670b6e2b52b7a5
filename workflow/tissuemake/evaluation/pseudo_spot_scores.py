"""Score what deconvolutions say of pseudo-spots against the cells counted in them, by method and share of the panel."""

import re
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem

from tissuemake.contracts import EVALUATION, PROPORTIONS, UNKNOWN, known_shares, read_table, write_table
from tissuemake.evaluation import metrics, scores
from tissuemake.evaluation.tables import level_of_truth, match_types, read_truth, without_unknown
from tissuemake.hierarchy import at_level
from tissuemake.provenance import measured

TASK = "pseudo_spots"
ATLAS = "atlas_composition"
BASELINES = ("uniform", "mean_composition", ATLAS)
RESAMPLES = 200


def score_pseudo_spots(
    sample: str,
    answers: Mapping[str, Mapping[str, str | Path]],
    truths: Mapping[str, str | Path],
    output: str | Path,
    *,
    reference: str | Path | None = None,
    labelled: bool = False,
    seed: int = 0,
) -> None:
    """Write a tidy table: sample, task, method, metric, value, cost; columns `lattice` and `panel` say of which spots.

    Metrics as in `scores.composition`; ``pearson_low`` and ``pearson_high`` end the 95% interval over resampled spots.
    Baselines: ``uniform``, ``mean_composition`` (the truth's own mean, which no method knows) and
    ``atlas_composition`` (in every spot the shares of the types among the atlas's cells).

    Parameters
    ----------
    answers
        Name of the spots (``hexagonal-50``: lattice and percent of the panel) → method → proportions.
    truths
        Name of the spots → cells by type of each.
    reference
        Contract REFERENCE, for its composition; None leaves that baseline out.
    labelled
        Whether labels stand for the truth, which the provenance says.
    """
    tables = []
    with measured(TASK, sample=sample, seed=seed, truth="labels" if labelled else "sheet") as record:
        for name, by_method in answers.items():
            found = {method: read_table(path, PROPORTIONS) for method, path in by_method.items()}
            spots = next(iter(found.values())).index
            truth = read_truth(truths[name], spots)
            lattice, panel = read_name(name)
            rows = _scored(found, truth, atlas_shares(reference) if reference else None, seed)
            tables.append(_tidy(sample, rows, found, lattice, panel))
    write_table(pd.concat(tables, ignore_index=True), output, EVALUATION, record)


def spots_name(lattice: str, panel: float) -> str:
    """Name of the spots of a lattice on a share of the panel: ``hexagonal-50``."""
    return f"{lattice}-{round(100 * panel)}"


def read_name(name: str) -> tuple[str, float]:
    """Lattice and share of the panel of a name."""
    lattice, percent = re.fullmatch(r"([a-z]+)-(\d+)", name).groups()
    return lattice, int(percent) / 100


def atlas_shares(reference: str | Path) -> pd.Series:
    """Share of each type among the atlas's cells; counts are not read."""
    with h5py.File(reference) as file:
        return read_elem(file["obs"])["cell_type"].astype(str).value_counts(normalize=True)


def _scored(
    found: dict[str, pd.DataFrame], truth: pd.DataFrame, atlas: pd.Series | None, seed: int
) -> scores.Scores:
    shares, unknown = {}, {}
    for method, table in found.items():
        level = level_of_truth(truth, table)
        shares[method] = known_shares(at_level(table, level) if level else table)
        if UNKNOWN in table:
            unknown[method] = table[UNKNOWN]
    if atlas is not None:
        first = next(iter(shares.values()))
        flat = atlas.reindex(first.columns, fill_value=0.0)
        if flat.sum():
            shares[ATLAS] = first * 0 + flat / flat.sum()
    rows = scores.composition(shares, truth, unknown)
    known, _ = without_unknown(truth)
    known = match_types(known, sorted(set().union(*(table.columns for table in shares.values()))))
    return rows + _intervals({name: shares[name] for name in found}, known, seed)


def _intervals(shares: dict[str, pd.DataFrame], truth: pd.DataFrame, seed: int) -> scores.Scores:
    """2.5 and 97.5% of the mean correlation over types, over spots drawn again: the same draws for all methods."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(truth), size=(RESAMPLES, len(truth)))
    varying = [name for name in truth if truth[name].nunique() > 1]
    known = truth[varying].to_numpy()
    rows: scores.Scores = []
    for method, table in shares.items():
        values = table.reindex(index=truth.index, columns=varying).fillna(0.0).to_numpy()
        # A type that a draw holds nowhere has no correlation in it.
        drawn = [np.nanmean(metrics.pearson(values[draw], known[draw])) for draw in draws]
        low, high = np.nanpercentile(drawn, [2.5, 97.5])
        rows += [(method, "pearson_low", float(low)), (method, "pearson_high", float(high))]
    return rows


def _tidy(
    sample: str, rows: scores.Scores, found: dict[str, pd.DataFrame], lattice: str, panel: float
) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["method", "metric", "value"])
    costs = {method: answer.attrs.get("tissuemake", {}) for method, answer in found.items()}
    for column in ("seconds", "peak_memory_mb"):
        table[column] = [float(costs.get(method, {}).get(column, "nan")) for method in table["method"]]
    return table.assign(
        sample=sample,
        task=TASK,
        baseline=~table["method"].isin(list(costs)),
        group=spots_name(lattice, panel),
        lattice=lattice,
        panel=panel,
    )
