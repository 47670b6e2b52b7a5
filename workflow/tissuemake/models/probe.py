"""A linear probe: which label a vector bears, by logistic regression, as far as other donors' labels tell it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tissuemake.evaluation.annotation_scores import macro_f1

# Inverse strengths of the ridge penalty, the strongest first.
STRENGTHS = (0.01, 0.1, 1.0)
LARGEST_Z = 6.0


@dataclass(frozen=True)
class Probe:
    """``softmax(vectors @ weight.T + bias)``.

    Attributes
    ----------
    weight, bias
        (classes, features) and (classes,).
    classes
        Labels, in the order of the rows.
    strength
        Inverse of the penalty that was chosen.
    """

    weight: np.ndarray
    bias: np.ndarray
    classes: tuple[str, ...]
    strength: float = 1.0

    def probability(self, vectors: np.ndarray) -> np.ndarray:
        """Probability (n, classes) of `vectors` (n, features)."""
        logit = np.asarray(vectors, np.float64) @ self.weight.T + self.bias
        odds = np.exp(logit - logit.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def label(self, vectors: np.ndarray) -> np.ndarray:
        """The most probable label (n,)."""
        return np.asarray(self.classes, dtype=object)[self.probability(vectors).argmax(axis=1)]


def within_section(vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, k) relative to all spots of their section: what differs between sections is no label."""
    vectors = np.asarray(vectors, np.float64)
    spread = vectors.std(axis=0)
    moves = spread > 1e-6 * np.abs(vectors).max(axis=0, initial=0)
    relative = (vectors - vectors.mean(axis=0)) / np.where(moves, spread, 1)
    return np.clip(np.where(moves, relative, 0), -LARGEST_Z, LARGEST_Z)


def fit_probe(
    vectors: np.ndarray, labels: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]] = ()
) -> tuple[Probe, float]:
    """Fit on all rows; the penalty is the one whose macro-F1 is best on rows that were left out.

    Not accuracy: where most of a tumour is invasive, saying so everywhere is hard to beat and tells nothing.

    Parameters
    ----------
    vectors, labels
        (n, features), as of `within_section`, and (n,) text of at least two kinds.
    folds
        Rows to fit on and rows to ask, of another donor or block. Without any that can be used the penalty is the
        middle one.

    Returns
    -------
    probe, score
        Macro-F1 of the left-out rows, mean over folds; NaN without folds.
    """
    labels = np.asarray(labels, dtype=object)
    folds = [(fit, ask) for fit, ask in folds if len(ask) and len(set(labels[fit])) > 1]
    scores = {
        strength: np.mean([_left_out(vectors, labels, fit, ask, strength) for fit, ask in folds])
        for strength in STRENGTHS
        if folds
    }
    best = max(scores, key=scores.get) if scores else STRENGTHS[len(STRENGTHS) // 2]
    return _fit(vectors, labels, best), float(scores.get(best, np.nan))


def _left_out(
    vectors: np.ndarray, labels: np.ndarray, fit: np.ndarray, ask: np.ndarray, strength: float
) -> float:
    said = _fit(vectors[fit], labels[fit], strength).label(vectors[ask])
    return macro_f1(pd.Series(said), pd.Series(labels[ask]))


def _fit(vectors: np.ndarray, labels: np.ndarray, strength: float) -> Probe:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=1000).fit(vectors, labels.astype(str))
    weight, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # the library keeps one row for two classes
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return Probe(weight, bias, tuple(str(name) for name in model.classes_), strength)
