"""The section on slides and batches of the cohort page: tables of effects, and sections on their principal axes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from tissuemake.reporting.batches import ENOUGH, FACTORS, PROFILE, BatchTable, of_cohort
from tissuemake.reporting.palette import categorical
from tissuemake.reporting.pseudobulk import principal_axes, read_profiles

SIDE = 260
# More levels than these are no colours that an eye can tell apart.
MOST_COLOURS = 8


def batch_section(quality: pd.DataFrame, history: pd.DataFrame, filtered: Mapping[str, Path]) -> list[dict]:
    """Return what the page shows of each assay: ``group``, ``table``, and ``figure`` and ``keys`` where drawn.

    Parameters
    ----------
    quality, history
        Quality tables of this run and of others.
    filtered
        Sample → ``filtered.h5ad``, for its expression; read for assays with enough samples only.
    """
    places, variance = {}, {}
    for group, own in quality[quality["kept"].notna()].groupby("group"):
        paths = {name: filtered[name] for name in own["sample"] if name in filtered}
        profiles = read_profiles(paths) if len(paths) >= ENOUGH else None
        if profiles is not None:
            places[group], variance[group] = principal_axes(profiles)
    tables = of_cohort(quality, history, places)
    parts = []
    for group, table in tables.items():
        part = {"group": group, "table": table, "figure": "", "keys": []}
        if group in places:
            own = quality[quality["group"] == group].drop_duplicates("sample").set_index("sample")
            name = _telling(table, own.loc[places[group].index])
            levels = own.loc[places[group].index, name] if name else None
            part |= {**draw_places(places[group], variance[group], levels), "by": FACTORS.get(name, "")}
        parts.append(part)
    return parts


def _telling(table: BatchTable, own: pd.DataFrame) -> str:
    """The factor that parts the profiles most, of those with few enough levels for colours; or nothing."""
    column = table.measures.index(PROFILE) if PROFILE in table.measures else None
    found = [
        (row.effects[column].share, row.name)
        for row in table.rows
        if column is not None and row.effects[column] and 1 < own[row.name].nunique() <= MOST_COLOURS
    ]
    return max(found)[1] if found else ""


def draw_places(places: pd.DataFrame, variance: np.ndarray, levels: pd.Series | None) -> dict:
    """Return ``figure`` (sections on two axes, coloured by `levels`), its ``keys`` and the percents of its ``axes``."""
    x, y = (places.iloc[:, i].to_numpy(float) for i in (0, 1))
    order = [] if levels is None else sorted(levels.unique(), key=str)
    colours = dict(zip(order, categorical(len(order)), strict=True))
    half = max(float(np.abs(places.iloc[:, :2].to_numpy()).max()), 1e-9) * 1.08
    dots = []
    for i, name in enumerate(places.index):
        level = "" if levels is None else str(levels.loc[name])
        paint = Markup(' stroke="{}"').format(colours[level]) if level in colours else Markup("")
        dots.append(
            Markup('<path class="place"{} d="M{:.1f} {:.1f}h0"><title>{}</title></path>').format(
                paint, SIDE / 2 * (1 + x[i] / half), SIDE / 2 * (1 - y[i] / half), f"{name} {level}".strip()
            )
        )
    axes = [round(100 * float(share)) for share in variance[:2]]
    figure = Markup(
        '<svg class="figure" viewBox="0 0 {0} {0}" width="{0}" role="img" '
        'aria-label="Sections on their first two principal axes">'
        '<path class="axis" fill="none" d="M0 {1}H{0}M{1} 0V{0}"/>{2}</svg>'
    ).format(SIDE, SIDE / 2, Markup("").join(dots))
    return {"figure": figure, "keys": list(colours.items()), "axes": axes}
