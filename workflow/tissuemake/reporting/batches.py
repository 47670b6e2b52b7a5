"""Whether slides, donors or software versions differ in quality and profile: shares of variance, and honest chances."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import exp, lgamma

import numpy as np
import pandas as pd

from tissuemake.reporting.control_charts import MEASURES, Measure, draw_limits, without

FACTORS = {
    "slide": "slide",
    "donor": "donor",
    "tissue": "tissue",
    "software": "software version",
    "chemistry": "chemistry",
}
ENOUGH = 8
PERMUTATIONS = 999
# With fewer ways to deal the samples out, even a perfect split comes about by chance too often to mean anything.
FEWEST_WAYS = 100
PROFILE = "Expression profile"


@dataclass(frozen=True)
class Effect:
    """What of a measure's variance lies between the levels of a factor; `p` is corrected for all that was asked."""

    share: float
    p: float


@dataclass(frozen=True)
class FactorRow:
    """A factor of an assay (`name`: its column), how it was tested over how many samples, and a cell per measure."""

    name: str
    label: str
    levels: int
    samples: int
    note: str
    effects: list[Effect | None]


@dataclass(frozen=True)
class BatchTable:
    """The factors of one assay; `measures` are the columns of `rows`."""

    measures: list[str]
    rows: list[FactorRow] = field(default_factory=list)


def of_cohort(
    quality: pd.DataFrame, history: pd.DataFrame, profiles: Mapping[str, pd.DataFrame]
) -> dict[str, BatchTable]:
    """Return the table of each assay of the run that has enough samples, earlier runs among them.

    Parameters
    ----------
    quality, history
        Quality tables of this run and of others.
    profiles
        Assay → expression of samples of this run (index: sample), if it was read.
    """
    past = without(history, quality)
    found = {}
    for group in dict.fromkeys(quality.loc[quality["kept"].notna(), "group"]):
        own = quality[quality["group"] == group]
        table = pd.concat([past[past["group"] == group], own.set_index("sample", drop=False)])
        # Samples of this run by name, so that their profiles find them; those of others by what no name can be.
        table.index = [f" {i}" for i in range(len(table) - len(own))] + own["sample"].tolist()
        effects = batch_effects(table[table["kept"].notna()], profiles.get(group))
        if effects:
            found[group] = effects
    return found


def batch_effects(
    table: pd.DataFrame, profile: pd.DataFrame | None = None, seed: int = 0
) -> BatchTable | None:
    """Return what the samples of one assay have in common by slide, donor and so on; None with too few samples.

    Parameters
    ----------
    table
        Quality rows of one assay, of this run and of others.
    profile
        Columns of any number that together are a sample's expression; its index is part of that of `table`.

    Notes
    -----
    The share is ε² (Kelley 1935): between the levels, less what chance would give, so that many slides of few
    samples do not explain everything. Chances come from dealing the levels out anew 999 times (for a profile of
    many columns this is PERMANOVA, Anderson 2001), corrected over all cells by Benjamini and Hochberg.
    A value outside the control limits counts as one at the limit: one failure is no batch. Where one factor lies
    within another (slides of one software version), the outer one is tested between the means of the inner one:
    sections of a slide are no independent witnesses.
    """
    if len(table) < ENOUGH:
        return None
    values = {
        measure.label: pd.DataFrame(_usual(measure, table[measure.column].to_numpy(float)), index=table.index)
        for measure in MEASURES
        if table[measure.column].notna().all()
    }
    if profile is not None and len(profile) >= ENOUGH:
        values[PROFILE] = profile
    rng = np.random.default_rng(seed)
    rows = [_row(name, label, values, table, rng) for name, label in _distinct(table)]
    return BatchTable(list(values), _corrected(rows)) if rows else None


def _usual(measure: Measure, values: np.ndarray) -> np.ndarray:
    """On the scale of the charts, what stands outside their limits at the limit: one failure is no batch."""
    _, low, high = draw_limits(values, measure)
    return measure.forward(np.clip(values, low, high))


def _distinct(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Factors that vary; those that part the samples in the same way are one, under both names."""
    named: dict[tuple, list[str]] = {}
    for name in FACTORS:
        if (table[name] != "").all() and table[name].nunique() > 1:
            named.setdefault(tuple(pd.factorize(table[name])[0]), []).append(name)
    for same in named.values():
        yield same[0], " and ".join(FACTORS[name] for name in same)


def _row(
    name: str, label: str, values: dict[str, pd.DataFrame], table: pd.DataFrame, rng: np.random.Generator
) -> FactorRow:
    levels = table[name]
    block = _within(name, table)
    around = [FACTORS[other] for other in FACTORS if other != name and _lies_within(levels, table[other])]
    unit = FACTORS[block] + "s" if block else "samples"
    n = table[block].nunique() if block else len(table)
    sizes = (table.groupby(block)[name].first() if block else levels).value_counts().to_numpy()
    notes = [f"tested between {unit}"] if block else []
    notes += [f"includes what differs by {' and '.join(around)}"] if around else []
    effects: list[Effect | None] = [None] * len(values)
    if sizes.max() == 1:
        notes = [f"each has one {unit.removesuffix('s')}: nothing to compare"]
    elif ways(sizes) < FEWEST_WAYS:
        notes = [f"too few {unit} to tell from chance"]
    else:
        effects = [_effect(data, levels, table[block] if block else None, rng) for data in values.values()]
    return FactorRow(name, label, int(levels.nunique()), int(n), "; ".join(notes), effects)


def _lies_within(inner: pd.Series, outer: pd.Series) -> bool:
    """Whether each level of `inner` belongs to one of several levels of `outer`, and holds more than it."""
    if (outer == "").any() or not 1 < outer.nunique() < inner.nunique():
        return False
    return bool((outer.groupby(inner).nunique() == 1).all())


def _within(name: str, table: pd.DataFrame) -> str:
    """The coarsest factor whose levels lie within those of `name` and hold several samples, or nothing."""
    inner = [
        other
        for other in FACTORS
        if other != name
        and (table[other] != "").all()
        and table[other].nunique() < len(table)
        and _lies_within(table[other], table[name])
    ]
    return min(inner, key=lambda other: table[other].nunique()) if inner else ""


def ways(sizes: np.ndarray) -> float:
    """Return in how many ways samples can be parted into unnamed groups of these sizes."""
    _, alike = np.unique(sizes, return_counts=True)
    log = (
        lgamma(sizes.sum() + 1) - sum(lgamma(size + 1) for size in sizes) - sum(lgamma(a + 1) for a in alike)
    )
    return exp(min(log, 700.0))


def _effect(
    data: pd.DataFrame, levels: pd.Series, block: pd.Series | None, rng: np.random.Generator
) -> Effect | None:
    levels = levels.loc[data.index]
    if block is not None:
        block = block.loc[data.index]
        data, levels = data.groupby(block).mean(), levels.groupby(block).first()
    values = data.to_numpy(float)
    values = values - values.mean(axis=0)
    total = float((values**2).sum())
    codes = np.sort(pd.factorize(levels)[0])
    groups = codes[-1] + 1
    if total < 1e-12 or not 1 < groups < len(values):
        return None
    starts = np.flatnonzero(np.r_[True, np.diff(codes) > 0])
    sizes = np.diff(np.r_[starts, len(codes)])[:, None]

    def between(order: np.ndarray) -> float:
        return float((np.add.reduceat(values[order], starts, axis=0) ** 2 / sizes).sum())

    here = between(np.argsort(pd.factorize(levels)[0], kind="stable"))
    chance = [between(rng.permutation(len(values))) for _ in range(PERMUTATIONS)]
    p = (1 + sum(other >= here - 1e-9 for other in chance)) / (PERMUTATIONS + 1)
    n = len(values)
    left = (total - here) / total * (n - 1) / (n - groups)
    return Effect(max(float(1 - left), 0.0), p)


def _corrected(rows: list[FactorRow]) -> list[FactorRow]:
    """The same rows with p-values corrected over all of them (Benjamini-Hochberg)."""
    given = np.array([effect.p for row in rows for effect in row.effects if effect])
    if not len(given):
        return rows
    order = np.argsort(given)
    scaled = given[order] * len(given) / np.arange(1, len(given) + 1)
    found = np.empty(len(given))
    found[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    left = iter(found.tolist())
    return [
        FactorRow(
            row.name, row.label, row.levels, row.samples, row.note,
            [Effect(effect.share, next(left)) if effect else None for effect in row.effects],
        )
        for row in rows
    ]  # fmt: skip
