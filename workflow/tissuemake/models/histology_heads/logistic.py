"""Calibrated logistic regression on tile embeddings, kept as one weight per feature."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

# Inverse strengths of the ridge penalty; the best by cross-fitted log loss is taken.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
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


def log_loss(logit: np.ndarray, truth: np.ndarray) -> float:
    """Mean negative log likelihood (nats) of bool `truth` (n,)."""
    return float(np.logaddexp(0, np.where(truth, -logit, logit)).mean())


def fit_head(vectors: np.ndarray, truth: np.ndarray, strength: float) -> LogisticHead:
    """Fit on standardised `vectors` (n, features), by their principal components where features outnumber rows.

    `truth` (n,) bool holds both classes.
    """
    scaler = StandardScaler().fit(vectors)
    scaled = scaler.transform(vectors)
    rows, features = scaled.shape
    axes = np.eye(features)
    if features >= rows:
        axes = PCA(min(MOST_COMPONENTS, rows - 1), random_state=0).fit(scaled).components_
    model = LogisticRegression(C=strength, solver="newton-cholesky", max_iter=200)
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
    vectors: np.ndarray, truth: np.ndarray, parts: Sequence[Part]
) -> tuple[LogisticHead, float]:
    """Fit on all rows; penalty and calibration come from cross-fitted log odds.

    The calibration is Platt's sigmoid (Platt 1999): a slope and an intercept on the log odds of rows that the
    head of their fold never saw. Without usable `parts` the penalty is the middle one and nothing is calibrated.

    Returns
    -------
    head, loss
        Cross-fitted log loss (nats) before calibration; NaN without parts.
    """
    parts = usable(parts, truth)
    asked = np.concatenate([part.ask for part in parts]) if parts else np.array([], int)
    if len(np.unique(truth[asked])) < 2:
        return fit_head(vectors, truth, STRENGTHS[len(STRENGTHS) // 2]), float("nan")
    best = (np.inf, STRENGTHS[0], np.empty(0))
    for strength in STRENGTHS:
        logit = cross_fit(vectors, truth, parts, strength)[asked]
        best = min(best, (log_loss(logit, truth[asked]), strength, logit), key=lambda found: found[0])
    loss, strength, logit = best
    slope, shift = platt(logit, truth[asked])
    head = fit_head(vectors, truth, strength)
    return LogisticHead(slope * head.weight, slope * head.bias + shift, strength), loss


def platt(logit: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Slope (never negative) and intercept that make log odds calibrated; Platt's targets keep them finite."""
    positive, negative = truth.sum(), (~truth).sum()
    target = np.where(truth, (positive + 1) / (positive + 2), 1 / (negative + 2))
    # Weighted copies of each row stand for a target between 0 and 1.
    model = LogisticRegression(C=1e6, solver="newton-cholesky").fit(
        np.tile(logit, 2)[:, None],
        np.repeat([True, False], len(logit)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    slope = float(model.coef_[0, 0])
    if slope <= 0:  # cross-fitting saw no signal: the prevalence is all there is to say
        return 0.0, float(np.log((positive + 1) / (negative + 1)))
    return slope, float(model.intercept_[0])
