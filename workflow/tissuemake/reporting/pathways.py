"""Pathways of a sample as pages and deliveries read them: scores per spot by table, borders, attention; as layers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from tissuemake import contracts
from tissuemake.reporting.layers import Group, Layer

MEASURED = "measured"
# Of a larger library the sets that vary most over the section are in the viewer; all are in the files.
LAYERS_SHOWN = 60
ENDS = (0.01, 0.99)
DEPTHS = {
    "residuals": "beyond what the depth of each spot leads one to expect",
    "corrected": "beyond what depth leads one to expect, and library size regressed out",
    "published": "as published: library size is in it",
}


@dataclass(frozen=True)
class Pathways:
    """By table (`MEASURED`, or a model): scores per spot, profiles across a border, who looked at whom."""

    scores: dict[str, pd.DataFrame] = field(default_factory=dict)
    borders: dict[str, pd.DataFrame] = field(default_factory=dict)
    attention: dict[str, pd.DataFrame] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.scores)

    def records(self) -> dict[tuple[str, str], dict]:
        """Step and table → provenance record."""
        steps = (("pathways", self.scores), ("pathways at the border", self.borders))
        return {
            (step, name): table.attrs.get("tissuemake", {})
            for step, tables in steps
            for name, table in tables.items()
        }


def read_pathways(
    scores: Mapping[str, Path], borders: Mapping[str, Path], attention: Mapping[str, Path]
) -> Pathways:
    """Read what was written of each."""
    return Pathways(
        {name: contracts.read_table(path, contracts.PATHWAYS) for name, path in scores.items()},
        {name: contracts.read_table(path, contracts.PATHWAY_BORDER) for name, path in borders.items()},
        {name: contracts.read_table(path, contracts.PATHWAY_ATTENTION) for name, path in attention.items()},
    )


def group_label(table: str) -> str:
    """What a table's maps are called in the viewer."""
    return "Pathways, measured" if table == MEASURED else f"Pathways, by {table}"


def readable(name: str) -> str:
    """A set's name without the collection's prefix and underscores."""
    return str(name).removeprefix("HALLMARK_").replace("_", " ")


def shown_sets(found: Pathways) -> list[str]:
    """Names of the sets in the viewer: all, or those whose scores vary most for their number of genes."""
    first = next((table for table in found.scores.values() if len(table.columns)), pd.DataFrame())
    genes = first.attrs.get("tissuemake", {}).get("genes", {})
    size = np.array([genes.get(name, 1) for name in first.columns], float)
    order = np.argsort(-first.std().fillna(0).to_numpy(float) * np.sqrt(size), kind="stable")[:LAYERS_SHOWN]
    return [str(name) for name in first.columns[np.sort(order)]]


def pathway_groups(found: Pathways, barcodes: pd.Index) -> list[Group]:
    """A group per table; a set has one colour scale in all of them, so that maps can be compared."""
    names = shown_sets(found)
    groups = []
    for table, scores in found.scores.items():
        placed = scores.reindex(barcodes)
        layers = []
        for name in (name for name in names if name in placed):
            low, high = _ends(found, name)
            layers.append(
                Layer(
                    readable(name), placed[name].to_numpy(float), "score", floor=low, ceiling=high, key=name
                )
            )
        groups.append(Group(group_label(table), layers, _note(table, scores, len(layers))))
    return groups


def _ends(found: Pathways, name: str) -> tuple[float, float]:
    values = [
        table[name].quantile(list(ENDS)).to_numpy(float) for table in found.scores.values() if name in table
    ]
    return float(np.nanmin(values)), float(np.nanmax(values))


def _note(table: str, scores: pd.DataFrame, shown: int) -> str:
    record = scores.attrs.get("tissuemake", {})
    rest = f" {shown} of {len(scores.columns)} sets are here." if shown < len(scores.columns) else ""
    if table != MEASURED and record.get("reads_expression"):
        return "Read off the stained image and the spots' own expression." + rest
    if table != MEASURED:
        return "Read off the stained image: which way a pathway goes over the section, no measurement." + rest
    return f"Activity of the set's genes against the cohort's, {DEPTHS.get(record.get('depth'), '')}." + rest
