"""A control chart as a small picture: samples in order, the usual range as a band, what stands outside in red."""

import numpy as np
from markupsafe import Markup

from tissuemake.reporting.control_charts import WORTH_DRAWING, Chart
from tissuemake.reporting.figures import ticks
from tissuemake.reporting.pages import number

WIDTH, HEIGHT = 380, 170
CROWDED = 200
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 10, 22


def drawn(group: str, charts: list[Chart]) -> dict:
    """Return what the page shows of an assay: its charts and figures, and by how many samples they judge."""
    return {
        "group": group,
        "samples": max(int((~chart.earlier).sum()) for chart in charts),
        "earlier": max(int(chart.earlier.sum()) for chart in charts),
        "judged_by": max(chart.judged_by for chart in charts),
        "judged": any(chart.centre is not None for chart in charts),
        "parts": [
            {"chart": chart, "figure": draw_chart(chart)}
            for chart in charts
            if len(chart.values) >= WORTH_DRAWING
        ],
        "flags": [flag for chart in charts for flag in chart.flags],
    }


def draw_chart(chart: Chart) -> Markup:
    """Return the SVG of a chart; earlier runs are pale, the samples of this run dark, those outside the limits red."""
    measure, n = chart.measure, len(chart.values)
    scaled = measure.forward(chart.values)
    limits = [] if chart.centre is None else list(measure.forward(np.array([chart.low, chart.high])))
    low, high = min([*scaled, *limits]), max([*scaled, *limits])
    margin = max(0.08 * (high - low), 0.02)
    low, high = (max(low - margin, 0.0) if measure.share else low - margin), high + margin
    floor = HEIGHT - BOTTOM

    def up(value: float) -> float:
        return round(floor - (value - low) / (high - low) * (floor - TOP), 1)

    def along(i: int) -> float:
        return round(LEFT + (i + 0.5) / n * (WIDTH - LEFT - RIGHT), 1)

    parts = [_band(chart, limits, up)] if limits else []
    parts.append(_axes(measure, low, high, up, floor))
    outside = {flag.sample for flag in chart.flags}
    marks = {"earlier": [], "here": [], "outside": []}
    for i, (sample, value, past) in enumerate(zip(chart.samples, scaled, chart.earlier, strict=True)):
        kind = "earlier" if past else "outside" if sample in outside else "here"
        marks[kind].append((along(i), up(value), sample, chart.values[i]))
    parts += [
        _dots(f"dots-{kind}", points, named=n <= CROWDED or kind == "outside")
        for kind, points in marks.items()
    ]
    said = f"{measure.label} over {n} samples in order"
    if chart.flags:
        said += f"; outside the limits: {', '.join(flag.sample for flag in chart.flags[:10])}"
    return Markup(
        '<svg class="figure chart{4}" viewBox="0 0 {0} {1}" width="{0}" role="img" aria-label="{2}">{3}</svg>'
    ).format(WIDTH, HEIGHT, said, Markup("").join(parts), " crowded" if n > CROWDED else "")


def _band(chart: Chart, limits: list[float], up) -> Markup:
    top, bottom = up(limits[1]), up(limits[0])
    middle = up(float(chart.measure.forward(np.array([chart.centre]))[0]))
    return Markup(
        '<rect class="usual" x="{0}" width="{1}" y="{2}" height="{3}"/>'
        '<line class="centre" x1="{0}" x2="{4}" y1="{5}" y2="{5}"/>'
    ).format(LEFT, WIDTH - LEFT - RIGHT, top, max(round(bottom - top, 1), 0.5), WIDTH - RIGHT, middle)


def _axes(measure, low: float, high: float, up, floor: float) -> Markup:
    parts = [
        Markup('<path class="axis" fill="none" d="M{} {}V{}H{}"/>').format(LEFT, TOP, floor, WIDTH - RIGHT),
        Markup('<text x="{}" y="{}" text-anchor="end">samples in order →</text>').format(
            WIDTH - RIGHT, floor + 15
        ),
    ]
    for value in _ticks(measure, low, high):
        y = up(float(measure.forward(np.array([value]))[0]))
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(LEFT - 5, y + 4, number(value))
        )
    return Markup("").join(parts)


def _ticks(measure, low: float, high: float) -> list[float]:
    if not measure.share:
        return [10**value for value in ticks(low, high, log=True, wanted=4)]
    bottom, top = (float(value) for value in measure.back(np.array([low, high])))
    return ticks(bottom, top, wanted=3)


def _dots(kind: str, points: list[tuple], *, named: bool) -> Markup:
    """One path for all, a stroke of no length each; with a title each where they are few enough to be pointed at."""
    if not named:
        path = "".join(f"M{x} {y}h0" for x, y, _, _ in points)
        return Markup('<path class="{}" d="{}"/>').format(kind, path) if path else Markup("")
    return Markup("").join(
        Markup('<path class="{}" d="M{} {}h0"><title>{}: {}</title></path>').format(
            kind, x, y, sample, number(value)
        )
        for x, y, sample, value in points
    )
