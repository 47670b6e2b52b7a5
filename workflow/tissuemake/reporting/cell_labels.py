"""Cell types of single cells and bins as pages and deliveries show them: layers, a table, columns."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake import contracts
from tissuemake.contracts import UNKNOWN
from tissuemake.reporting import figures
from tissuemake.reporting.layers import Group, Layer, class_layer
from tissuemake.reporting.palette import UNKNOWN_COLOUR, categorical

LABELS = "Cell types, one for each"
SURE_OF = "Confidence of the cell type"
NOTE = "One type for each, by the labels of the reference. Unknown: no label is more likely right than wrong."


def read_cell_types(path: Path | None) -> pd.DataFrame | None:
    """Return the table, None where the sample has none."""
    return contracts.read_table(path, contracts.CELL_TYPES) if path else None


def methods_of(table: pd.DataFrame) -> list[str]:
    """The methods that labelled, the first one's labels being the sample's."""
    return [name.removeprefix("cell_type_") for name in table if name.startswith("cell_type_")]


def cell_type_groups(
    table: pd.DataFrame | None, barcodes: pd.Index, colours: dict[str, str] | None = None
) -> list[Group]:
    """A group of the labels and one of how sure they are, a layer per method each.

    `colours` of the compositions' types, so that a type looks alike in all maps.
    """
    if table is None:
        return []
    placed = table.reindex(barcodes)
    methods = methods_of(table)
    counts = pd.concat([placed[f"cell_type_{name}"] for name in methods]).dropna().value_counts()
    order = [name for name in counts.index if name != UNKNOWN] + [UNKNOWN]
    palette = dict(zip(order, categorical(len(order)), strict=True)) | (colours or {})
    palette[UNKNOWN] = UNKNOWN_COLOUR
    labels = [class_layer(name, placed[f"cell_type_{name}"], order, palette) for name in methods]
    sure = [
        Layer(
            name,
            placed[f"confidence_{name}"].to_numpy(float),
            "probability that the label is right" if name == "transfer" else "largest share",
            floor=0.0,
            ceiling=1.0,
        )
        for name in methods
    ]
    return [Group(LABELS, labels, NOTE), Group(SURE_OF, sure)]


def cell_types_section(table: pd.DataFrame | None, noun: str) -> list[dict]:
    """Of each method how many cells bear which label, their terms of the Cell Ontology, how sure, where to see it."""
    if table is None:
        return []
    terms = table.drop_duplicates("cell_type").set_index("cell_type")
    described = []
    for name in methods_of(table):
        counts = table[f"cell_type_{name}"].value_counts()
        typed = counts.drop(UNKNOWN, errors="ignore")
        sure = table[f"confidence_{name}"].to_numpy(float)
        described.append(
            {
                "method": name,
                "rows": [
                    {
                        "label": str(label),
                        "term": str(terms["cell_ontology_id"].get(label, "")),
                        "cells": int(count),
                        "bar": figures.share_bar(count / max(counts.max(), 1)),
                    }
                    for label, count in typed.items()
                ],
                "unknown": int(counts.get(UNKNOWN, 0)),
                "share": float(counts.get(UNKNOWN, 0) / max(len(table), 1)),
                "figure": figures.histogram(
                    {"confidence": sure}, unit="confidence", noun=f"{noun}s", span=(0, 1)
                )
                if np.isfinite(sure).any()
                else None,
                "show": {"group": LABELS, "key": name, "beside": SURE_OF} if len(typed) else None,
            }
        )
    return described


def add_cell_types(adata: ad.AnnData, path: Path | None) -> dict[str, dict]:
    """Add ``obs["cell_type"]``, its confidence and Cell Ontology term to a delivery; return provenance by step."""
    table = read_cell_types(path)
    if table is None:
        return {}
    placed = table.reindex(adata.obs_names)
    for column in ("cell_type", "cell_ontology_id", "cell_ontology_name"):
        adata.obs[column] = pd.Categorical(placed[column].astype("object"))
    adata.obs["cell_type_confidence"] = placed["confidence"].astype(np.float32)
    return {"cell types": table.attrs.get("tissuemake", {})}
