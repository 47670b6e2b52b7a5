"""What a delivery holds of pathways: scores of every spot, profiles across the border, who looked at whom."""

from collections.abc import Mapping
from pathlib import Path

import anndata as ad

from tissuemake.reporting.pathways import read_pathways


def add_pathways(
    adata: ad.AnnData, scores: Mapping[str, Path], borders: Mapping[str, Path]
) -> dict[str, dict]:
    """Add ``obsm["pathways_TABLE"]``, a column per set (``/`` as ``|``); return provenance by step.

    Spots without a tile have no number in what a model says; a table without sets adds nothing.
    """
    found = read_pathways(scores, borders, {})
    for name, table in found.scores.items():
        if len(table.columns):
            placed = table.reindex(adata.obs_names)
            placed.attrs = {}
            adata.obsm[f"pathways_{name}"] = placed.rename(
                columns=lambda column: str(column).replace("/", "|")
            )
    return {f"{step}/{name}": record for (step, name), record in found.records().items()}


def pathway_copies(
    scores: Mapping[str, Path], borders: Mapping[str, Path], attention: Mapping[str, Path]
) -> dict[str, Path]:
    """Return the tables that are delivered as they are, by the name they get."""
    kinds = (("pathways", scores), ("border", borders), ("attention", attention))
    return {f"{kind}_{name}.parquet": path for kind, files in kinds for name, path in files.items()}


def library_notices(records: Mapping[str, dict]) -> list[str]:
    """Whose gene sets were scored, where their licence asks for it to be said."""
    said = [record.get("attribution", "") for record in records.values()]
    return list(dict.fromkeys(f"{text}." for text in said if text))
