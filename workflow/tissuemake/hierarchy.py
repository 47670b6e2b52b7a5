"""Ground floor: coarser cell types: a composition of fine types summed to the levels of its reference's labels.

A hierarchy is ``{level: {fine type: coarse type}}``, coarsest level first. Whatever estimates a composition writes
that of its reference into the table's provenance, so that a table can be rolled up wherever it is read.
"""

from collections.abc import Mapping

import pandas as pd

from tissuemake.contracts import GATE, SD_SUFFIX, UNKNOWN, type_columns
from tissuemake.errors import InputError
from tissuemake.labels import refuse_reserved

Hierarchy = dict[str, dict[str, str]]


def hierarchy_of(uns: Mapping) -> Hierarchy:
    """Return the coarser levels that a prepared reference holds in its ``uns``; none of one label column."""
    table = uns.get("hierarchy")
    return {} if table is None else {str(level): table[level].astype(str).to_dict() for level in table}


def stated_hierarchy(proportions: pd.DataFrame) -> Hierarchy:
    """Return the coarser levels that a table of proportions says its types have."""
    return proportions.attrs.get("tissuemake", {}).get("hierarchy") or {}


def roll_up(proportions: pd.DataFrame, parents: Mapping[str, str]) -> pd.DataFrame:
    """Sum the shares of fine types to those of their parents; ``unknown``, ``gate`` and attrs stay.

    The standard deviation of a sum is taken as the sum of its members': none can be larger, however their errors
    correlate, so it errs on the wide side. The root of the summed squares would not: the members of a Dirichlet
    compete, but what is mistaken between two families moves all members of one together. On simulated tissues
    with a model whose 90% intervals held 92% of the fine shares, intervals around the sums held 73 to 88% by the
    root, and 92 to 97% by the sum. A parent has a deviation where all its members do.

    Parameters
    ----------
    proportions
        Contract PROPORTIONS (spots, types).
    parents
        Parent by fine type; may hold types that the table lacks.

    Returns
    -------
    DataFrame
        Contract PROPORTIONS (spots, parents), in the order in which the fine types name them.

    Raises
    ------
    InputError
        ``type_without_parent``; ``reserved_type`` when a parent is called as another column.
    """
    types = [name for name in type_columns(proportions) if name != UNKNOWN]
    orphans = [str(name) for name in types if name not in parents]
    if orphans:
        raise InputError(
            "type_without_parent",
            f"{len(orphans)} of {len(types)} cell types have no coarser type: {', '.join(orphans[:10])}.",
            "Give every type a parent; one that stands alone can be its own.",
        )
    members: dict[str, list[str]] = {}
    for name in types:
        members.setdefault(str(parents[name]), []).append(name)
    refuse_reserved(pd.Index(members), "The coarser types")
    columns = {parent: proportions[fine].sum(axis=1, skipna=False) for parent, fine in members.items()}
    if UNKNOWN in proportions:
        columns[UNKNOWN] = proportions[UNKNOWN]
    for parent, fine in {**members, UNKNOWN: [UNKNOWN]}.items():
        spreads = [f"{name}{SD_SUFFIX}" for name in fine]
        if parent in columns and all(name in proportions for name in spreads):
            columns[f"{parent}{SD_SUFFIX}"] = proportions[spreads].sum(axis=1, skipna=False)
    if GATE in proportions:
        columns[GATE] = proportions[GATE]
    rolled = pd.DataFrame(columns, index=proportions.index)
    rolled.attrs = dict(proportions.attrs)
    return rolled


def at_level(proportions: pd.DataFrame, level: str) -> pd.DataFrame:
    """Roll a table up to a level that its provenance names; the provenance of the result says which.

    Raises
    ------
    InputError
        ``unknown_level``; those of `roll_up`.
    """
    hierarchy = stated_hierarchy(proportions)
    if level not in hierarchy:
        said = f"its levels are {', '.join(hierarchy)}" if hierarchy else "it names no coarser levels"
        raise InputError(
            "unknown_level",
            f"The table of proportions has no level '{level}': {said}.",
            "Give one of its levels."
            if hierarchy
            else "Levels come from a reference whose label_key is coarse>fine; prepare it so, and deconvolve again.",
        )
    rolled = roll_up(proportions, hierarchy[level])
    record = {key: value for key, value in proportions.attrs["tissuemake"].items() if key != "hierarchy"}
    rolled.attrs = {**proportions.attrs, "tissuemake": {**record, "level": level}}
    return rolled


def coarser(proportions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the table at each level that its provenance names, coarsest first."""
    return {level: at_level(proportions, level) for level in stated_hierarchy(proportions)}
