"""Calibrated logistic regression on tile embeddings, kept as one weight per feature."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tissuemake.evaluation.metrics import presence_rank

# Inverse strengths of the ridge penalty, the strongest penalty first.
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
# The strongest penalty is taken that ranks as well as the best, by this much of AUROC: calibration sets the scale, and
# what leans on many features a little survives another staining better (tests/benchmarks/HISTOLOGY.md).
AS_GOOD = 0.003
MOST_COMPONENTS = 256
LARGEST_LOGIT = 30.0


@dataclass(frozen=True)
class Part:
    """Rows to fit on and rows to ask, of one fold; the buffer is in neither."""

    fit: np.ndarray
    ask: np.ndarray


@dataclass(frozen=True)
class LogisticHead:
    """``sigmoid(vectors @ weight + bias)``: standardisation, PCA, regression and calibration are one affine map.

    Attributes
    ----------
    weight
        (features,).
    strength
        Inverse of the penalty that was chosen.
    """

    weight: np.ndarray
    bias: float
    strength: float = 1.0

    def logit(self, vectors: np.ndarray) -> np.ndarray:
        """Log odds (n,) of `vectors` (n, features)."""
        return np.asarray(vectors, np.float64) @ self.weight + self.bias

    def probability(self, vectors: np.ndarray) -> np.ndarray:
        """Probability (n,) of `vectors` (n, features)."""
        return sigmoid(self.logit(vectors))


def sigmoid(logit: np.ndarray) -> np.ndarray:
    """Probability of log odds; beyond 30 it is 0 or 1 in double precision anyway."""
    return 1 / (1 + np.exp(-np.clip(logit, -LARGEST_LOGIT, LARGEST_LOGIT)))


def log_loss(logit: np.ndarray, truth: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Mean negative log likelihood (nats) of bool `truth` (n,)."""
    return float(np.average(np.logaddexp(0, np.where(truth, -logit, logit)), weights=weight))


def balanced(truth: np.ndarray) -> np.ndarray:
    """Weights (n,) by which both classes count as much; they sum to n."""
    share = np.clip(truth.mean(), 1 / len(truth), 1 - 1 / len(truth))
    return np.where(truth, 0.5 / share, 0.5 / (1 - share))


def prior_logit(truth: np.ndarray) -> float:
    """Log odds of the share of `truth`, kept finite."""
    return float(np.log((truth.sum() + 1) / ((~truth).sum() + 1)))


def fit_head(vectors: np.ndarray, truth: np.ndarray, strength: float) -> LogisticHead:
    """Fit on standardised `vectors` (n, features), by their principal components where features outnumber rows.

    `truth` (n,) bool holds both classes, which count as much: how many there are of either is no evidence.
    """
    scaler = StandardScaler().fit(vectors)
    scaled = scaler.transform(vectors)
    rows, features = scaled.shape
    axes = np.eye(features)
    if features >= rows:
        axes = PCA(min(MOST_COMPONENTS, rows - 1), random_state=0).fit(scaled).components_
    model = LogisticRegression(C=strength, class_weight="balanced", solver="newton-cholesky", max_iter=200)
    with warnings.catch_warnings():
        # A loose end of the slowest directions changes no probability that anyone reads.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scaled @ axes.T, truth)
    weight = (model.coef_[0] @ axes) / scaler.scale_
    return LogisticHead(weight, float(model.intercept_[0] - weight @ scaler.mean_), strength)


def cross_fit(vectors: np.ndarray, truth: np.ndarray, parts: Sequence[Part], strength: float) -> np.ndarray:
    """Log odds (n,) of every row by a head that saw neither it nor its fold; NaN where no fold asks."""
    logit = np.full(len(truth), np.nan)
    for part in parts:
        logit[part.ask] = fit_head(vectors[part.fit], truth[part.fit], strength).logit(vectors[part.ask])
    return logit


def usable(parts: Sequence[Part], truth: np.ndarray) -> list[Part]:
    """The parts whose rows to fit on hold both classes."""
    return [part for part in parts if len(part.ask) and len(np.unique(truth[part.fit])) == 2]


def fit_calibrated(
    vectors: np.ndarray, truth: np.ndarray, parts: Sequence[Part], prior: float | None = None
) -> tuple[LogisticHead, float]:
    """Fit on all rows; penalty and calibration come from cross-fitted log odds.

    The calibration is Platt's sigmoid (Platt 1999), a slope and an intercept on the log odds of rows that the head
    of their fold never saw, with both classes weighted alike; then `prior`, the log odds of the class, is added.
    Without usable `parts` the penalty is the middle one and nothing is calibrated.

    Parameters
    ----------
    prior
        That of `truth` if None. Heads whose answers are compared need one and the same: a head without a block that
        holds all the healthy tissue would call just that block tumour.

    Returns
    -------
    head, loss
        Cross-fitted log loss (nats) with both classes weighted alike; NaN without parts.
    """
    prior = prior_logit(truth) if prior is None else prior
    parts = usable(parts, truth)
    asked = np.concatenate([part.ask for part in parts]) if parts else np.array([], int)
    if len(np.unique(truth[asked])) < 2:
        head = fit_head(vectors, truth, STRENGTHS[len(STRENGTHS) // 2])
        return LogisticHead(head.weight, head.bias + prior, head.strength), float("nan")
    known = truth[asked]
    logits = [cross_fit(vectors, truth, parts, strength)[asked] for strength in STRENGTHS]
    ranks = [presence_rank(logit, known) for logit in logits]
    chosen = next(place for place, rank in enumerate(ranks) if rank >= max(ranks) - AS_GOOD)
    strength, logit = STRENGTHS[chosen], logits[chosen]
    slope, shift = platt(logit, known)
    head = fit_head(vectors, truth, strength)
    loss = log_loss(slope * logit + shift, known, balanced(known))
    return LogisticHead(slope * head.weight, slope * head.bias + shift + prior, strength), loss


def platt(logit: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Slope (never negative) and intercept that calibrate log odds where both classes count as much.

    Platt's targets, a little inside 0 and 1, keep them finite.
    """
    target = np.where(truth, 1 - 1 / (truth.sum() + 2), 1 / ((~truth).sum() + 2))
    weight = balanced(truth)
    # Weighted copies of each row stand for a target between 0 and 1.
    model = LogisticRegression(C=1e6, solver="newton-cholesky").fit(
        np.tile(logit, 2)[:, None],
        np.repeat([True, False], len(logit)),
        sample_weight=np.concatenate([weight * target, weight * (1 - target)]),
    )
    slope = float(model.coef_[0, 0])
    # Without any signal in cross-fitting the prior is all there is to say.
    return (slope, float(model.intercept_[0])) if slope > 0 else (0.0, 0.0)
