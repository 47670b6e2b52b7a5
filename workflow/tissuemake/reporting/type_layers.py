"""Cell types as layers: dominant type, pies, shares, and how sure the model was of them."""

import numpy as np
import pandas as pd

from tissuemake.contracts import GATE, SD_SUFFIX, UNKNOWN, type_columns
from tissuemake.hierarchy import coarser
from tissuemake.reporting.agreement import BASE_METHOD, overlap
from tissuemake.reporting.layers import Group, Layer, class_layer
from tissuemake.reporting.palette import UNKNOWN_COLOUR, categorical

# Above this the pies of a whole tissue are a few pixels wide: nobody can read them.
MAX_PIES = 2_000
SHARE = "share of the spot"
CALIBRATED = "Mean ± 1.645 standard deviations should hold the true share in 90% of spots."
SUMMED = (
    "Sum of the standard deviations of the finer types, the most it can be: mean ± 1.645 of it should hold the true "
    "share in 90% of spots or more."
)


def type_colours(proportions: dict[str, pd.DataFrame]) -> dict[str, str]:
    """One colour per cell type, the same for all methods: handed out from the most abundant type down.

    What the reference does not know is no type: it is grey.
    """
    names: dict[str, None] = {}
    for table in proportions.values():
        names.update(dict.fromkeys(name for name in by_abundance(table) if name != UNKNOWN))
    colours = dict(zip(names, categorical(len(names)), strict=True))
    return {**colours, UNKNOWN: UNKNOWN_COLOUR}


def by_abundance(table: pd.DataFrame) -> list[str]:
    """Cell types of a proportions table, most abundant first, the unknown share last."""
    mean = table[type_columns(table)].mean().sort_values(ascending=False, kind="stable")
    names = [str(name) for name in mean.index]
    return [name for name in names if name != UNKNOWN] + [name for name in names if name == UNKNOWN]


def type_groups(
    proportions: dict[str, pd.DataFrame], barcodes: pd.Index, colours: dict[str, str]
) -> list[Group]:
    """Return the groups of all methods: dominant types first, then shares, then what is known of their error.

    A type has the same colour scale under every method, so that maps of two methods can be compared.
    """
    tables = _of_spots(proportions, barcodes)
    groups = _maps(tables, colours)
    for method, table in tables.items():
        groups += [_uncertainty(table, method), *_doubts(table, method)]
    for method, table in tables.items():
        if method != BASE_METHOD and BASE_METHOD in tables:
            groups.append(_agreement(table, tables[BASE_METHOD], method))
    return [group for group in groups if group.layers]


def level_groups(proportions: dict[str, pd.DataFrame], barcodes: pd.Index) -> list[Group]:
    """Return the groups of the coarser levels that the tables name, coarsest level first.

    A level has colours of its own: one for each of its types, the same for all methods.
    """
    levels: dict[str, dict[str, pd.DataFrame]] = {}
    for method, table in proportions.items():
        for level, rolled in coarser(table).items():
            levels.setdefault(level, {})[f"{method}, {level}"] = rolled
    groups = []
    for rolled in levels.values():
        tables = _of_spots(rolled, barcodes)
        groups += _maps(tables, type_colours(tables))
        groups += [_uncertainty(table, method, SUMMED) for method, table in tables.items()]
    return [group for group in groups if group.layers]


def _of_spots(proportions: dict[str, pd.DataFrame], barcodes: pd.Index) -> dict[str, pd.DataFrame]:
    return {method: table.rename(columns=str).reindex(barcodes) for method, table in proportions.items()}


def _maps(tables: dict[str, pd.DataFrame], colours: dict[str, str]) -> list[Group]:
    """Dominant types of all methods, then the shares of all, on one scale for each type."""
    ceilings = _ceilings(tables)
    dominant = [_dominant(table, method, colours) for method, table in tables.items()]
    return dominant + [_shares(table, method, ceilings) for method, table in tables.items()]


def _ceilings(tables: dict[str, pd.DataFrame]) -> dict[str, float]:
    found: dict[str, float] = {}
    for table in tables.values():
        for name, ceiling in table[type_columns(table)].quantile(0.99).items():
            found[name] = max(found.get(name, 0.0), float(ceiling))
    return found


def _dominant(table: pd.DataFrame, method: str, colours: dict[str, str]) -> Group:
    # One order for all methods, or pies beside each other could not be compared.
    order = [name for name in colours if name in table]
    types = table[order]
    known = types.notna().all(axis=1)
    # Columns go by abundance: a tie goes to the more abundant type.
    dominant = pd.Series(pd.NA, index=types.index, dtype="object")
    dominant[known] = types[known].idxmax(axis=1)
    layers = [class_layer("Dominant cell type", dominant, order, colours)]
    note = "The largest share of each spot reads best from afar; pies show the whole mixture."
    if len(table) <= MAX_PIES:
        layers.append(class_layer("Pies", dominant, order, colours, slices_in=_share_group(method)))
    else:
        note = (
            f"The largest share of each spot. Pies of {len(table):,} spots would be too small to read; "
            "mixed spots show in the maps of single types."
        )
    return Group(f"Dominant type, {method}", layers, note)


def _share_group(method: str) -> str:
    return f"Cell types, {method}"


def _spread_group(method: str) -> str:
    return f"Uncertainty, {method}"


def _spreads(table: pd.DataFrame) -> list[str]:
    """Types whose standard deviation the table holds, in the order of their shares' list."""
    return [name for name in by_abundance(table) if f"{name}{SD_SUFFIX}" in table]


def _shares(table: pd.DataFrame, method: str, ceilings: dict[str, float]) -> Group:
    spread = set(_spreads(table))
    layers = [
        Layer(
            name,
            table[name].to_numpy(float),
            SHARE,
            ceiling=ceilings[name],
            spread_in=_spread_group(method) if name in spread else "",
        )
        for name in by_abundance(table)
    ]
    return Group(_share_group(method), layers)


def _uncertainty(table: pd.DataFrame, method: str, note: str = CALIBRATED) -> Group:
    """Standard deviations that a method states; no layers where it states none."""
    names = _spreads(table)
    if not names:
        return Group(_spread_group(method))
    spread = table[[f"{name}{SD_SUFFIX}" for name in names]].to_numpy(float)
    layers = [
        Layer("All types, mean", spread.mean(1), "mean standard deviation of the shares"),
        Layer(
            "All types, total",
            np.sqrt((spread**2).sum(1)),
            "expected distance from the true composition (root of the summed variances)",
        ),
        *(Layer(name, spread[:, i], "standard deviation of the share") for i, name in enumerate(names)),
    ]
    return Group(_spread_group(method), layers, note)


def _doubts(table: pd.DataFrame, method: str) -> list[Group]:
    """What else a method says of its own answer: unknown share, RNA against image."""
    groups = []
    if UNKNOWN in table:
        note = "Transcripts that no cell type of the reference explains."
        layer = Layer("Unknown share", table[UNKNOWN].to_numpy(float), SHARE)
        groups.append(Group(f"Unknown share, {method}", [layer], note))
    if GATE in table and table[GATE].notna().any():
        layer = Layer("Weight of RNA", table[GATE].to_numpy(float), "0: image alone, 1: RNA alone")
        note = "How much the model leaned on transcripts rather than on the stained image."
        groups.append(Group(f"RNA or image, {method}", [layer], note))
    return groups


def _agreement(table: pd.DataFrame, base: pd.DataFrame, method: str) -> Group:
    shared = overlap(table.dropna(subset=type_columns(table)), base).reindex(table.index)
    layer = Layer("Overlap", shared.to_numpy(float), "share given to the same types")
    note = f"1: {method} and {BASE_METHOD} give the spot the same composition; 0: no type in common."
    return Group(f"Agreement of {method} with {BASE_METHOD}", [layer], note)
