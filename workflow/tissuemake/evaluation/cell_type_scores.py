"""Score the types of single cells and bins against the truth, beside the most frequent type and the largest shares."""

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd

from tissuemake.contracts import UNKNOWN
from tissuemake.evaluation.annotation_scores import macro_f1
from tissuemake.evaluation.scores import Scores
from tissuemake.evaluation.tables import level_of_truth, match_types

log = logging.getLogger(__name__)

LABEL, GUESS, SURE = "cell_type_", "guess_", "confidence_"
# Bins of the expected calibration error, and of the accuracy by confidence.
BINS = np.linspace(0, 1, 11)
# A bin of the tissue counts as one type where that makes up more than half of it.
MAIN = 0.5


def cell_types(table: pd.DataFrame, truth: pd.DataFrame, proportions: Mapping[str, pd.DataFrame]) -> Scores:
    """(method, metric, value) of the labels in a table of cell types.

    Over cells whose true type the labels could name: ``accuracy`` and ``macro_f1`` of the label before any doubt, as
    all that is beside it always answers; ``ece``, the expected calibration error of its confidence, and
    ``right[0.5 to 0.6]``; then ``labelled``, the share that is not called unknown, and
    ``accuracy_labelled`` of these. Of cells of other types ``foreign_unknown``, the share called unknown. Baselines on
    the same cells: ``majority``, the most frequent type everywhere, and ``METHOD, largest share`` of each composition.

    Parameters
    ----------
    table
        Contract CELL_TYPES.
    truth
        (cells, types) shares; a cell counts where one type makes up more than half.
    proportions
        Method → shares of the types, ``unknown`` set aside.
    """
    types = dict.fromkeys(table.attrs.get("tissuemake", {}).get("types", ()), 0.0)
    offered = pd.DataFrame(types, index=truth.index)
    offered.attrs = table.attrs
    level = level_of_truth(truth, offered)
    parents = table.attrs["tissuemake"]["hierarchy"][level] if level else {name: name for name in types}
    names = list(dict.fromkeys(parents.values()))
    known = true_types(truth, names)
    scores: Scores = []
    named = known[known.isin(names)]
    for column in (name for name in table if name.startswith(LABEL)):
        method = column.removeprefix(LABEL)
        found = table[column].map(parents).fillna(UNKNOWN)
        guess = table[f"{GUESS}{method}"].map(parents).fillna(UNKNOWN)
        sure = table[f"{SURE}{method}"].astype(float)
        scores += _against(method, guess[named.index], named)
        scores += _doubted(method, found[named.index], named)
        scores += _calibration(method, guess[named.index], sure[named.index], named)
        foreign = known.index.difference(named.index, sort=False)
        if len(foreign):
            scores.append((method, "foreign_unknown", float((found[foreign] == UNKNOWN).mean())))
            scores.append((method, "foreign_cells", float(len(foreign))))
    if named.empty:
        log.warning("Cell types are not scored: no cell's true type is among those of the labels.")
        return scores
    scores += _against("majority", pd.Series(named.mode().iloc[0], named.index), named)
    for method, shares in proportions.items():
        found = shares.loc[named.index].idxmax(axis=1).map(lambda name: parents.get(name, name))
        scores += _against(f"{method}, largest share", found, named)
    return scores


def true_types(truth: pd.DataFrame, names: list[str]) -> pd.Series:
    """The type that makes up more than half of a cell or bin, named as in `names`; others are left out."""
    matched = match_types(truth, names)
    main = matched.max(axis=1) > MAIN
    return matched[main].idxmax(axis=1)


def _against(method: str, found: pd.Series, truth: pd.Series) -> Scores:
    if truth.empty:
        return []
    return [
        (method, "accuracy", float((found == truth).mean())),
        (method, "macro_f1", macro_f1(found, truth)),
        (method, "cells", float(len(truth))),
    ]


def _doubted(method: str, found: pd.Series, truth: pd.Series) -> Scores:
    if truth.empty:
        return []
    given = found != UNKNOWN
    scores: Scores = [(method, "labelled", float(given.mean()))]
    if given.any():
        scores.append((method, "accuracy_labelled", float((found == truth)[given].mean())))
    return scores


def _calibration(method: str, guess: pd.Series, sure: pd.Series, truth: pd.Series) -> Scores:
    if truth.empty:
        return []
    right, sure = (guess == truth).to_numpy(), sure.to_numpy()
    places = np.clip(np.digitize(sure, BINS) - 1, 0, len(BINS) - 2)
    error, scores = 0.0, []
    for place in np.unique(places):
        inside = places == place
        error += inside.mean() * abs(sure[inside].mean() - right[inside].mean())
        name = f"right[{BINS[place]:.1f} to {BINS[place + 1]:.1f}]"
        scores.append((method, name, float(right[inside].mean())))
    return [*scores, (method, "ece", float(error))]
