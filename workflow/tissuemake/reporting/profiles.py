"""A small chart of a mean by signed distance from a border, with its interval."""

import numpy as np
import pandas as pd
from markupsafe import Markup

from tissuemake.reporting.figures import ticks
from tissuemake.reporting.pages import number

WIDTH, HEIGHT, LEFT, FLOOR = 260, 150, 40, 110


def border_profile(lines: dict[str, pd.DataFrame], title: str) -> Markup:
    """Draw one or two profiles (columns distance_um, mean, low, high); inside is left of the dashed line."""
    everything = pd.concat(lines.values())
    x_low, x_high = float(everything["distance_um"].min()), float(everything["distance_um"].max())
    low, high = float(everything["low"].min()), float(everything["high"].max())
    low, high = (low, high) if high > low else (low - 1, high + 1)

    def across(value: float) -> float:
        return round(LEFT + (value - x_low) / max(x_high - x_low, 1e-9) * (WIDTH - LEFT - 12), 1)

    def up(value: float) -> float:
        return round(FLOOR - (value - low) / (high - low) * (FLOOR - 10), 1)

    parts = [
        Markup('<path class="axis" fill="none" d="M{0} 10V{1}H{2}"/>').format(LEFT, FLOOR, WIDTH - 12),
        Markup('<path class="border-line" d="M{0} 10V{1}"/>').format(across(0), FLOOR)
        if x_low <= 0 <= x_high
        else Markup(""),
    ]
    for kind, (name, table) in zip(("train", "valid"), lines.items(), strict=False):
        parts.append(_line(kind, name, table.sort_values("distance_um"), across, up))
    parts += [
        Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
            across(value), FLOOR + 15, number(value)
        )
        for value in ticks(x_low, x_high, wanted=4)
    ]
    parts += [
        Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(
            LEFT - 5, up(value) + 4, number(value)
        )
        for value in ticks(low, high, wanted=3)
    ]
    parts.append(
        Markup('<text x="{}" y="{}" text-anchor="middle">µm from the border</text>').format(
            (LEFT + WIDTH) / 2, FLOOR + 31
        )
    )
    return Markup(
        '<svg class="figure" viewBox="0 0 {0} {1}" width="{0}" role="img" aria-label="{2} by distance from the '
        'border">{3}</svg>'
    ).format(WIDTH, HEIGHT, title, Markup("").join(parts))


def _line(kind: str, name: str, table: pd.DataFrame, across, up) -> Markup:
    at = [across(value) for value in table["distance_um"]]
    over = [f"{x} {up(value)}" for x, value in zip(at, table["high"], strict=True)]
    under = [f"{x} {up(value)}" for x, value in zip(at, table["low"], strict=True)]
    middle = [f"{x} {up(value)}" for x, value in zip(at, table["mean"], strict=True)]
    return Markup(
        '<path class="band-{0}" d="M{1}L{2}Z"/><path class="curve-{0}" d="M{3}"><title>{4}</title></path>'
    ).format(kind, "L".join(over), "L".join(reversed(under)), "L".join(middle), name)


def change(table: pd.DataFrame) -> float:
    """How far the mean goes over the profile, in widths of its interval."""
    width = float(np.nanmedian(table["high"] - table["low"]))
    return float(table["mean"].max() - table["mean"].min()) / max(width, 1e-9)
