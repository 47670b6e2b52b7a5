"""Score labels that were learnt on other donors against a sample's own, beside the label that most spots bear."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tissuemake.evaluation.scores import Scores

log = logging.getLogger(__name__)


def annotation(
    tables: Mapping[str, pd.DataFrame], labels: pd.Series, ignored_labels: Sequence[str] = ()
) -> Scores:
    """(method, metric, value) per table: ``accuracy``, ``macro_f1`` and ``spots``.

    Scored on labelled spots that got a label from a probe that saw none of their donor (column ``seen`` False where
    the table has one). A true label that the probe was never taught counts as missed: ``taught`` is the share of
    spots that bear a label it could have given. Baseline on the same spots: ``majority``, the sample's own most
    frequent label everywhere, a hint that no method had.

    Parameters
    ----------
    labels
        Label by barcode, of the spots that have one.
    ignored_labels
        Those that are not scored.
    """
    labels = labels[~labels.isin(list(ignored_labels))]
    scores: Scores = []
    judged = []
    for method, table in tables.items():
        seen = table["seen"].astype(bool) if "seen" in table else pd.Series(False, table.index)
        usable = table.index[table["label"].notna() & ~seen]
        truth = labels[labels.index.isin(usable)]
        if truth.empty:
            log.warning("Labels by %s are not scored: no labelled spot that the probe did not see.", method)
            continue
        judged.append(truth)
        found = table.loc[truth.index, "label"].astype(str)
        taught = set(table.attrs.get("tissuemake", {}).get("labels", ()) or table["label"].dropna())
        scores += [*_against(method, found, truth), (method, "taught", float(truth.isin(taught).mean()))]
    if judged:
        truth = pd.concat(judged)
        truth = truth[~truth.index.duplicated()]
        scores += _against("majority", pd.Series(truth.mode().iloc[0], truth.index), truth)
    return scores


def _against(method: str, found: pd.Series, truth: pd.Series) -> Scores:
    return [
        (method, "accuracy", float((found == truth).mean())),
        (method, "macro_f1", macro_f1(found, truth)),
        (method, "spots", float(len(truth))),
    ]


def macro_f1(found: pd.Series, truth: pd.Series) -> float:
    """Mean over the truth's labels of the harmonic mean of precision and recall; one never found counts 0."""
    each = []
    for name in truth.unique():
        hits = float(((found == name) & (truth == name)).sum())
        each.append(2 * hits / ((found == name).sum() + (truth == name).sum()))
    return float(np.mean(each))
