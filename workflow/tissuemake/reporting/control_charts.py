"""Control charts of a facility: limits that outliers do not move, who stands outside them, and drifts."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tissuemake.reporting.pages import number
from tissuemake.reporting.quality_table import identity

ENOUGH = 8
# Fewer points than these are no chart: their numbers stand in the table.
WORTH_DRAWING = 3
# With this many earlier samples of an assay they alone say what is usual: a bad week must not excuse itself.
BASELINE = 20
RUN_LENGTH = 9  # Nelson's second rule
SIGMAS = 3.0
MAD_TO_SD = 1.4826
# Spreads below 2.3 % of a count, or the like of a share, are no spread to judge by (simulated or repeated sections).
LEAST_SPREAD = 0.01


@dataclass(frozen=True)
class Measure:
    """A number of the quality table and how it is charted."""

    column: str
    label: str
    short: str
    unit: str
    share: bool = False

    def forward(self, values: np.ndarray) -> np.ndarray:
        """To the scale on which it scatters evenly: log10 of sizes, arcsine of the root of shares in percent."""
        values = np.asarray(values, float)
        if self.share:
            return np.arcsin(np.sqrt(np.clip(values, 0, 100) / 100))
        return np.log10(np.maximum(values, 0.5))

    def back(self, values: np.ndarray) -> np.ndarray:
        """From that scale."""
        values = np.asarray(values, float)
        return 100 * np.sin(np.clip(values, 0, np.pi / 2)) ** 2 if self.share else 10.0**values


MEASURES = (
    Measure("median_counts", "Median counts", "counts", "counts"),
    Measure("median_genes", "Median genes", "genes", "genes"),
    Measure("in_tissue", "Observations under tissue", "under tissue", "observations"),
    Measure("pct_dropped", "Dropped of those under tissue", "dropped", "%", share=True),
    Measure("pct_mt", "Mitochondrial counts", "mitochondrial", "%", share=True),
    Measure("pct_control", "Control counts", "control", "%", share=True),
)


@dataclass(frozen=True)
class Flag:
    """A sample outside the limits of a measure."""

    sample: str
    measure: Measure
    value: float
    limit: float

    @property
    def said(self) -> str:
        """In words, short enough for a cell."""
        side = "below" if self.value < self.limit else "above"
        unit = "%" if self.measure.share else ""
        return f"{self.measure.short} {number(self.value)}{unit}, {side} {number(self.limit)}{unit}"


@dataclass(frozen=True)
class Chart:
    """One measure of one assay over samples in order; `centre` and limits are None with too few samples."""

    measure: Measure
    samples: list[str]
    values: np.ndarray
    earlier: np.ndarray
    judged_by: int
    centre: float | None = None
    low: float | None = None
    high: float | None = None
    flags: list[Flag] = field(default_factory=list)
    drift: str = ""


def draw_limits(values: np.ndarray, measure: Measure) -> tuple[float, float, float]:
    """Return centre, lower and upper limit: median ± 3 SD, the SD from the median absolute deviation.

    With few samples the MAD is itself uncertain; the limits are wider by ``6 / (n - 4)``, so that about one
    normal value in 370 stands outside whatever their number (simulated for 8 to 300 samples).
    Shares have no lower limit that matters: fewer dropped spots are no fault.
    """
    scaled = measure.forward(values)
    centre = float(np.median(scaled))
    spread = max(MAD_TO_SD * float(np.median(np.abs(scaled - centre))), LEAST_SPREAD)
    reach = SIGMAS * (1 + 6 / (len(scaled) - 4)) * spread
    low, middle, high = (float(x) for x in measure.back(np.array([centre - reach, centre, centre + reach])))
    return middle, (0.0 if measure.share else low), high


def control_charts(quality: pd.DataFrame, history: pd.DataFrame) -> dict[str, list[Chart]]:
    """Return the charts of each assay of the run.

    Parameters
    ----------
    quality, history
        Quality tables of this run and of others, each in order. What stands in both belongs to this run.
    """
    past = without(history, quality)
    charts = {}
    for group in dict.fromkeys(quality.loc[quality["kept"].notna(), "group"]):
        both = in_time(
            pd.concat(
                [
                    table[table["group"] == group].assign(earlier=earlier)
                    for table, earlier in ((past, True), (quality, False))
                ],
                ignore_index=True,
            )
        )
        charts[group] = list(_charts(both))
    return charts


def without(history: pd.DataFrame, quality: pd.DataFrame) -> pd.DataFrame:
    """Return the part of `history` that is not of this run."""
    return history[~identity(history).isin(identity(quality))]


def in_time(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows by the start of their instrument's run where all state it, else as they stand."""
    if len(table) and (table["run_start"] != "").all():
        return table.sort_values("run_start", kind="stable").reset_index(drop=True)
    return table


def _charts(table: pd.DataFrame) -> Iterator[Chart]:
    for measure in MEASURES:
        rows = table[table[measure.column].notna()]
        if rows.empty or rows["earlier"].all():
            continue
        yield _chart(measure, rows)


def _chart(measure: Measure, rows: pd.DataFrame) -> Chart:
    samples, earlier = list(rows["sample"]), rows["earlier"].to_numpy(bool)
    values = rows[measure.column].to_numpy(float)
    usual = values[earlier] if earlier.sum() >= BASELINE else values
    if len(usual) < ENOUGH:
        return Chart(measure, samples, values, earlier, len(usual))
    centre, low, high = draw_limits(usual, measure)
    flags = [
        Flag(sample, measure, float(value), low if value < low else high)
        for sample, value, past in zip(samples, values, earlier, strict=True)
        if not past and not low <= value <= high
    ]
    return Chart(
        measure, samples, values, earlier, len(usual), centre, low, high, flags, _drift(values, centre)
    )


def _drift(values: np.ndarray, centre: float) -> str:
    """Say when the latest samples all stand on one side of the centre: a shift too small for the limits."""
    latest = values[-RUN_LENGTH:]
    if len(latest) < RUN_LENGTH or not ((latest > centre).all() or (latest < centre).all()):
        return ""
    side = "above" if latest[-1] > centre else "below"
    return f"the latest {RUN_LENGTH} all stand {side} the centre"


def flags_of(charts: dict[str, list[Chart]]) -> dict[str, list[Flag]]:
    """What is unusual about each sample that is."""
    found: dict[str, list[Flag]] = {}
    for own in charts.values():
        for chart in own:
            for flag in chart.flags:
                found.setdefault(flag.sample, []).append(flag)
    return found
