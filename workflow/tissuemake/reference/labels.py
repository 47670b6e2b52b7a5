"""Cell-type labels of an atlas: join them, drop what is no type, and make coarse and fine levels nest."""

import difflib
import logging
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.delimited import read_by_barcode
from tissuemake.errors import InputError
from tissuemake.labels import is_named, label_text, refuse_reserved

log = logging.getLogger(__name__)

DONOR_COLUMNS = ("donor_id", "donor", "patient", "individual", "subject", "orig.ident", "sample", "batch")


def label_levels(label_key: str) -> list[str]:
    """Split ``coarse>fine`` into its columns, coarse first."""
    return [level.strip() for level in label_key.split(">") if level.strip()]


def join_labels(atlas: ad.AnnData, table: str | Path) -> ad.AnnData:
    """Add the columns of a label table to ``obs``.

    The first column of the table is the barcode or, where its name is that of an ``obs`` column (say
    ``cell_type``), values of that column: a table of fine types and their coarser families. A counts table
    with genes in rows is turned, which the barcodes show.
    """
    labels = read_labels(table)
    if labels.index.name in atlas.obs:
        keys = atlas.obs[labels.index.name].astype(str)
    else:
        if not atlas.obs_names.isin(labels.index).any() and atlas.var_names.isin(labels.index).any():
            atlas = atlas.T
            atlas.X = atlas.X.tocsr()
        keys = pd.Series(atlas.obs_names.astype(str), index=atlas.obs_names)
    if not keys.isin(labels.index).any():
        raise InputError(
            "labels_do_not_match",
            f"{table}: none of its {len(labels)} rows (first: '{labels.index[0]}') belongs to the atlas "
            f"(first: '{keys.iloc[0]}').",
            "Its first column must hold the atlas's barcodes, or bear the name of one of its obs columns.",
        )
    joined = labels.reindex(keys.to_numpy())
    for column in labels.columns:
        atlas.obs[column] = joined[column].to_numpy()
    return atlas


def read_labels(table: str | Path) -> pd.DataFrame:
    """Read a csv or tsv (``.gz`` too); the first column becomes the index."""
    try:
        frame = read_by_barcode(table)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            "unreadable_labels",
            f"The label table {table} cannot be read ({error}).",
            "Give a csv or tsv whose first column is the barcode.",
        ) from error
    if frame.empty or not frame.columns.size:
        raise InputError(
            "unreadable_labels", f"The label table {table} is empty.", "Give barcodes and labels."
        )
    return frame[~frame.index.duplicated()]


def typed_cells(atlas: ad.AnnData, levels: list[str], where: str) -> ad.AnnData:
    """Keep the cells whose finest label is a type; ``obs["cell_type"]`` holds it."""
    for level in levels:
        if level not in atlas.obs:
            near = difflib.get_close_matches(level, list(atlas.obs.columns), n=1, cutoff=0.3)
            raise InputError(
                "missing_label",
                f"{where}: the label column '{level}' is not among its columns "
                f"({', '.join(map(str, atlas.obs.columns[:20])) or 'it has none'}).",
                f"Correct label_key in references.tsv{f': did you mean {near[0]!r}?' if near else ''}",
            )
    finest = atlas.obs[levels[-1]]
    keep = is_named(finest)
    kept = atlas[keep].copy()
    kept.uns["cells_without_type"] = int((~keep).sum())
    kept.obs["_finest"] = label_text(finest)[keep]
    refuse_reserved(kept.obs["_finest"], where)
    return kept


def nest(fine: pd.Series, coarse: pd.Series, level: str) -> pd.Series:
    """Give every fine type one parent: the coarse label most of its cells have.

    Returns
    -------
    Series
        Parent by fine type. A fine type that stands under several parents is logged.
    """
    named = is_named(coarse)
    table = pd.crosstab(fine[named], label_text(coarse)[named])
    parents = table.idxmax(axis=1) if len(table) else pd.Series(dtype=object)
    astray = (table.sum(axis=1) - table.max(axis=1)) if len(table) else pd.Series(dtype=float)
    for name, cells in astray[astray > 0].items():
        log.warning(
            "Level '%s' does not nest: %d cells of '%s' stand outside '%s', and follow it now.",
            level,
            cells,
            name,
            parents[name],
        )
    # A fine type whose cells have no coarse label is its own family.
    types = pd.Index(np.unique(fine))
    return parents.reindex(types).where(lambda parent: parent.notna(), types.to_series())


def donors(obs: pd.DataFrame, donor_key: str, where: str) -> pd.Series:
    """The donor of every cell, from `donor_key` or the first usual column; ``"unknown"`` failing that."""
    if donor_key and donor_key not in obs:
        raise InputError(
            "missing_donor_key",
            f"{where}: the donor column '{donor_key}' is not among its columns.",
            "Correct donor_key in references.tsv, or leave it empty.",
        )
    column = donor_key or next((name for name in DONOR_COLUMNS if name in obs), "")
    if not column:
        return pd.Series("unknown", index=obs.index)
    given = obs[column].astype(object)
    return given.where(given.notna(), "unknown").astype(str)
