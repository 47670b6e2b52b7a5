"""Two more small SVG charts: one number against another over spots, and the course of a training."""

import numpy as np
import pandas as pd
from markupsafe import Markup

from tissuemake.reporting.figures import ticks
from tissuemake.reporting.pages import number

MAX_DOTS = 400
SIDE, EDGE = 150, 36
CURVE_WIDTH, CURVE_HEIGHT, CURVE_LEFT, CURVE_BOTTOM = 420, 200, 46, 36
# Losses of the first steps are those of a model that knows nothing; they would flatten all that follows.
WARM_UP = 0.1


def scatter(x: np.ndarray, y: np.ndarray, *, x_name: str, y_name: str, title: str) -> Markup:
    """Draw one dot per spot on two axes of the same length, with the diagonal on which both agree.

    Above `MAX_DOTS` a reproducible random part is drawn.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    kept = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not len(kept):
        return Markup('<p class="hint">No values.</p>')
    if len(kept) > MAX_DOTS:
        kept = np.random.default_rng(0).choice(kept, MAX_DOTS, replace=False)
    top = max(float(x[kept].max()), float(y[kept].max()), 1e-9)
    inner, floor = SIDE - EDGE - 6, SIDE - EDGE
    # A dot is a stroke of no length with round ends: the shortest thing SVG can say.
    dots = "".join(f"M{EDGE + x[i] / top * inner:.1f} {floor - y[i] / top * inner:.1f}h0" for i in kept)
    return Markup(
        '<svg class="figure" viewBox="0 0 {0} {0}" width="{0}" role="img" aria-label="{1}">'
        '<path class="axis" fill="none" d="M{2} 6V{3}H{4}"/>'
        '<line class="limit" x1="{2}" y1="{3}" x2="{4}" y2="6"/><path class="dots" d="{5}"/>'
        '<text x="{6}" y="{3}" text-anchor="end">0</text><text x="{6}" y="14" text-anchor="end">{7}</text>'
        '<text x="{4}" y="{8}" text-anchor="end">{7}</text><text x="{2}" y="{8}">{9} →</text>'
        '<text transform="translate(10 {10}) rotate(-90)" text-anchor="middle">{11}</text></svg>'
    ).format(
        SIDE, title, EDGE, floor, SIDE - 6, dots, EDGE - 4, number(top, 2), floor + 14, x_name,
        floor / 2, y_name,
    )  # fmt: skip


def loss_curve(training: pd.DataFrame, kept: int | None = None) -> Markup:
    """Draw training and held-out loss by step, and whose weights were kept; the first steps may leave the picture.

    Parameters
    ----------
    training
        Columns ``step``, ``train_loss``, ``valid_loss``; a loss is NaN where it was not measured.
    kept
        Step of the weights kept; if not given, that of the lowest held-out loss.
    """
    lines = [
        (name, training[["step", column]].dropna().to_numpy(float))
        for name, column in (("training", "train_loss"), ("held out", "valid_loss"))
    ]
    lines = [(name, line) for name, line in lines if len(line)]
    if not lines:
        return Markup('<p class="hint">No loss was recorded.</p>')
    lines = [(name, _smoothed(line)) if len(line) > 60 else (name, line) for name, line in lines]
    last = max(line[:, 0].max() for _, line in lines) or 1.0
    later = np.concatenate([line[line[:, 0] >= WARM_UP * last, 1] for _, line in lines])
    low, high = float(later.min()), float(later.max())
    if high <= low:
        low, high = low - 0.5, high + 0.5
    floor = CURVE_HEIGHT - CURVE_BOTTOM

    def at(point: np.ndarray) -> str:
        x = CURVE_LEFT + point[0] / last * (CURVE_WIDTH - CURVE_LEFT - 14)
        y = floor - (np.clip(point[1], low, high) - low) / (high - low) * (floor - 10)
        return f"{x:.1f} {y:.1f}"

    parts = [_curve_axes(low, high, last, floor)]
    if kept is None and training["valid_loss"].notna().any():
        kept = training["step"][training["valid_loss"].idxmin()]
    if kept is not None:
        best = CURVE_LEFT + kept / last * (CURVE_WIDTH - CURVE_LEFT - 14)
        parts.append(
            Markup('<line class="limit" x1="{0:.1f}" x2="{0:.1f}" y1="10" y2="{1}"/>').format(best, floor)
        )
    for name, line in lines:
        kind = "train" if name == "training" else "valid"
        parts.append(
            Markup('<path class="curve-{}" d="M{}"><title>{}</title></path>').format(
                kind, "L".join(at(point) for point in line), name
            )
        )
    return Markup(
        '<svg class="figure" viewBox="0 0 {0} {1}" width="{0}" role="img" aria-label="Loss by training step">'
        "{2}</svg>"
    ).format(CURVE_WIDTH, CURVE_HEIGHT, Markup("").join(parts))


def course(lines: dict[str, np.ndarray], title: str) -> Markup:
    """Draw one or two measures of a training, each ``(step, value)`` rows, from 0 up: a fall to nothing shows."""
    lines = {name: _smoothed(line) if len(line) > 120 else line for name, line in lines.items()}
    everything = np.concatenate(list(lines.values()))
    last = float(everything[:, 0].max()) or 1.0
    low, high = min(float(everything[:, 1].min()), 0.0), max(float(everything[:, 1].max()), 1e-9) * 1.05
    width, height, left, floor = 260, 130, 40, 104

    def up(value: float) -> float:
        return floor - (value - low) / (high - low) * (floor - 8)

    parts = [
        Markup('<path class="axis" fill="none" d="M{0} 8V{1}H{2}"/>').format(left, floor, width - 12),
        Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(
            width - 12, floor + 15, number(last)
        ),
        Markup('<text x="{}" y="{}" text-anchor="middle">step</text>').format((left + width) / 2, floor + 15),
        Markup('<text x="{}" y="{}" text-anchor="middle">0</text>').format(left, floor + 15),
    ]
    for kind, (name, line) in zip(("train", "valid"), lines.items(), strict=False):
        points = [f"{left + step / last * (width - left - 12):.1f} {up(value):.1f}" for step, value in line]
        parts.append(
            Markup('<path class="curve-{}" d="M{}"><title>{}</title></path>').format(
                kind, "L".join(points), name
            )
        )
    for value in ticks(low, high, wanted=3):
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(
                left - 5, round(up(value) + 4, 1), number(value)
            )
        )
    return Markup(
        '<svg class="figure" viewBox="0 0 {0} {1}" width="{0}" role="img" aria-label="{2} by training step">'
        "{3}</svg>"
    ).format(width, height, title, Markup("").join(parts))


def _smoothed(line: np.ndarray, points: int = 60) -> np.ndarray:
    """Means of `points` runs of neighbouring steps: single batches scatter more than they teach."""
    return np.array([part.mean(axis=0) for part in np.array_split(line, points)])


def _curve_axes(low: float, high: float, last: float, floor: float) -> Markup:
    parts = [
        Markup('<path class="axis" fill="none" d="M{0} 10V{1}H{2}"/>').format(
            CURVE_LEFT, floor, CURVE_WIDTH - 14
        )
    ]
    for value in ticks(low, high, wanted=6):
        y = floor - (value - low) / (high - low) * (floor - 10)
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(
                CURVE_LEFT - 5, round(y + 4, 1), number(value)
            )
        )
    for value in ticks(0, last, wanted=4):
        x = CURVE_LEFT + value / last * (CURVE_WIDTH - CURVE_LEFT - 14)
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
                round(x, 1), floor + 15, number(value)
            )
        )
    parts.append(
        Markup('<text x="{}" y="{}" text-anchor="middle">training step</text>').format(
            (CURVE_LEFT + CURVE_WIDTH) / 2, CURVE_HEIGHT - 4
        )
    )
    return Markup("").join(parts)
