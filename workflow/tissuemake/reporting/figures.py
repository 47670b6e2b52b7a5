"""Small figures as inline SVG: they follow the page's theme, stay sharp, and escape every label."""

import numpy as np
from markupsafe import Markup

from tissuemake.reporting.pages import number
from tissuemake.reporting.palette import diverging, is_dark

WIDTH, HEIGHT = 360, 190
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 12, 40


def histogram(
    series: dict[str, np.ndarray],
    *,
    unit: str,
    lines: list[tuple[float, str]] | None = None,
    log: bool = False,
    bins: int = 32,
    noun: str = "spots",
    span: tuple[float, float] | None = None,
) -> Markup:
    """Draw the distributions of `series` (name → values) over one another.

    Parameters
    ----------
    lines
        Thresholds: a value on the x axis and what it is called.
    log
        Whether the x axis is logarithmic; values below 1 then stand at 1.
    span
        The x axis from end to end; None: as far as the values go.
    """
    finite = {name: np.asarray(values, float)[np.isfinite(values)] for name, values in series.items()}
    everything = np.concatenate([*finite.values(), [value for value, _ in lines or []]])
    if sum(map(len, finite.values())) == 0:
        return Markup('<p class="hint">No values.</p>')
    forward = (lambda x: np.log10(np.maximum(x, 1))) if log else np.asarray
    low, high = span or (float(forward(everything).min()), float(forward(everything).max()))
    if high <= low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)
    counts = {name: np.histogram(forward(values), edges)[0] for name, values in finite.items()}
    peak = max(count.max() for count in counts.values()) or 1

    def at(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    parts = [_axes(low, high, peak, at, log, unit, noun)]
    for i, (name, count) in enumerate(counts.items()):
        parts.append(_steps(name, count, edges, peak, at, i))
    for value, label in lines or []:
        x = at(float(forward(np.array(value))))
        parts.append(
            Markup(
                '<line class="limit" x1="{0}" x2="{0}" y1="{1}" y2="{2}"><title>{3}</title></line>'
            ).format(round(x, 1), TOP, HEIGHT - BOTTOM, label)
        )
    return _svg(WIDTH, HEIGHT, parts, f"Distribution of {unit}")


def share_bar(value: float, colour: str = "") -> Markup:
    """Draw a bar as wide as `value` (0 to 1) of the cell it stands in."""
    if not np.isfinite(value):
        return Markup("")
    fill = Markup(' fill="{}"').format(colour) if colour else ""
    return Markup(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="{}" height="8"{}/></svg>'
    ).format(round(float(np.clip(value, 0, 1)) * 100, 2), fill)


def stacked_bar(shares: list[tuple[str, float, str]]) -> Markup:
    """Draw one full-width bar of ``(name, share, colour)`` pieces; hovering names the piece."""
    pieces, left = [], 0.0
    for name, share, colour in shares:
        pieces.append(
            Markup('<rect x="{}" width="{}" height="8" fill="{}"><title>{}: {}%</title></rect>').format(
                round(left, 2), round(share * 100, 2), colour, name, round(share * 100, 1)
            )
        )
        left += share * 100
    return Markup(
        '<svg class="bar stacked" viewBox="0 0 100 8" preserveAspectRatio="none" role="img">{}</svg>'
    ).format(Markup("").join(pieces))


def heat_map(names: list[str], values: np.ndarray, *, unit: str) -> Markup:
    """Draw a square matrix (rows and columns `names`) on a scale that is white at 0."""
    n = len(names)
    side = 38 if n <= 9 else max(14, 340 // n)
    longest = max((len(name) for name in names), default=0)
    margin = min(110, 14 + 7 * min(longest, 14))
    finite = values[np.isfinite(values)]
    # One self-neighbouring domain must not bleach the others.
    limit = float(np.percentile(np.abs(finite), 95)) if len(finite) else 1.0
    parts = []
    for i in range(n):
        parts.append(_cell_label(names[i], margin - 6, margin + (i + 0.5) * side + 4, "end"))
        parts.append(_column_label(names[i], margin + (i + 0.5) * side, margin - 6, longest))
        for j in range(n):
            parts.append(_cell(names, values, i, j, side, margin, limit, unit))
    return _svg(margin + n * side + 4, margin + n * side + 4, parts, unit)


def _cell(names, values, i, j, side, margin, limit, unit) -> Markup:
    value = float(values[i, j])
    colour = diverging(value, limit) if np.isfinite(value) else "#cccccc"
    x, y = margin + j * side, margin + i * side
    title = f"{names[i]} with {names[j]}: {unit} {number(value)}"
    rect = Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="{}"><title>{}</title></rect>').format(
        x, y, side - 1, side - 1, colour, title
    )
    if side < 30 or not np.isfinite(value):
        return rect
    text = Markup('<text class="in-cell" x="{}" y="{}" fill="{}">{}</text>').format(
        x + side / 2,
        y + side / 2 + 4,
        "#ffffff" if is_dark(colour) else "#111111",
        f"{round(float(value))}".replace("-", "−"),
    )
    return rect + text


def _cell_label(text: str, x: float, y: float, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, y, anchor, shorten(text))


def _column_label(text: str, x: float, y: float, longest: int) -> Markup:
    """Upright while all names are short, turned when one is not."""
    if longest <= 3:
        return _cell_label(text, x, y, "middle")
    return Markup('<text transform="translate({} {}) rotate(-90)" dy="4">{}</text>').format(
        x, y, shorten(text)
    )


def shorten(text: str, length: int = 14) -> str:
    """Return `text`, cut to `length` signs."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _steps(name: str, count: np.ndarray, edges: np.ndarray, peak: float, at, i: int) -> Markup:
    floor = HEIGHT - BOTTOM
    points = [f"M{at(edges[0]):.1f} {floor}"]
    for value, left, right in zip(count, edges[:-1], edges[1:], strict=True):
        y = floor - value / peak * (floor - TOP)
        points.append(f"L{at(left):.1f} {y:.1f}L{at(right):.1f} {y:.1f}")
    points.append(f"L{at(edges[-1]):.1f} {floor}Z")
    return Markup('<path class="series-{}" d="{}"><title>{}</title></path>').format(i, "".join(points), name)


def _axes(low: float, high: float, peak: float, at, log: bool, unit: str, noun: str) -> Markup:
    floor = HEIGHT - BOTTOM
    parts = [
        Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            LEFT, WIDTH - RIGHT, floor, floor
        )
    ]
    for value in ticks(low, high, log):
        text = number(10**value if log else value)
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
                round(at(value), 1), floor + 15, text
            )
        )
    parts.append(
        Markup(
            '<text x="{}" y="{}" text-anchor="end">{}</text><text x="{}" y="{}" text-anchor="end">0</text>'
        ).format(LEFT - 6, TOP + 8, short(peak), LEFT - 6, floor + 1)
    )
    middle = (TOP + floor) / 2
    parts.append(
        Markup('<text transform="translate(12 {}) rotate(-90)" text-anchor="middle">{}</text>').format(
            middle, noun
        )
    )
    parts.append(
        Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, unit
        )
    )
    return Markup("").join(parts)


def short(count: float) -> str:
    """A count in five characters, as it fits beside an axis: ``9,999``, ``58k``, ``1.2M``."""
    if round(count / 1e3) >= 1000:
        return f"{count / 1e6:.1f}M"
    return number(count) if count < 10_000 else f"{count / 1e3:.0f}k"


def ticks(low: float, high: float, log: bool = False, wanted: int = 5) -> list[float]:
    """Return round tick positions between `low` and `high` (decades and their halves when `log`)."""
    if log:
        marks = [
            decade + np.log10(m) for decade in range(int(np.floor(low)), int(high) + 1) for m in (1, 2, 5)
        ]
        inside = [mark for mark in marks if low <= mark <= high]
        if len(inside) < 2:  # less than a decade: round numbers on the linear scale, where they stand
            return [float(np.log10(value)) for value in ticks(10**low, 10**high) if value > 0]
        if len(inside) > wanted + 1:
            inside = [mark for mark in inside if abs(mark - round(mark)) < 1e-9]
        return inside
    rough = (high - low) / wanted
    power = 10 ** np.floor(np.log10(rough))
    step = next(multiple * power for multiple in (1, 2, 5, 10) if multiple * power >= rough)
    first = np.ceil(low / step) * step
    return [float(np.round(first + i * step, 10)) for i in range(int((high - first) / step + 1e-9) + 1)]


def _svg(width: float, height: float, parts: list[Markup], title: str) -> Markup:
    return Markup(
        '<svg class="figure" viewBox="0 0 {} {}" width="{}" role="img" aria-label="{}">{}</svg>'
    ).format(width, height, width, title, Markup("").join(parts))
