"""Prepare an atlas: typed cells with raw counts, a label hierarchy, donors, signatures and markers."""

import logging
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.contracts import MARKERS, REFERENCE, SIGNATURES, write_anndata, write_table
from tissuemake.errors import InputError
from tissuemake.genes import tidy_genes
from tissuemake.labels import refuse_reserved
from tissuemake.provenance import measured
from tissuemake.reference.counts import read_counts
from tissuemake.reference.labels import donors, join_labels, label_levels, nest, typed_cells
from tissuemake.reference.markers import find_markers
from tissuemake.reference.orthologs import to_organism
from tissuemake.reference.signatures import depth_normalised, mean_by_type, nonzero_medians
from tissuemake.sheets import Reference

log = logging.getLogger(__name__)

# Cells this many median absolute deviations (of log counts) under the median are debris.
MADS = 5.0


def prepare_reference(
    row: Reference,
    output: str | Path,
    signatures: str | Path,
    markers: str | Path,
    *,
    min_cells: int = 10,
    min_counts: int | None = None,
    organism: str | None = None,
    orthologs: str | Path | None = None,
) -> None:
    """Read the atlas of `row` and write its counts, signatures and markers.

    Parameters
    ----------
    min_cells
        Types with fewer cells are left out, and listed in ``uns["dropped_types"]``.
    min_counts
        Cells with fewer counts are left out; None: those 5 MADs of log counts under the median.
    organism
        That of the samples; where it differs from the atlas's, genes are carried over by `orthologs`.

    Raises
    ------
    InputError
        ``reference_without_counts``, ``missing_label``, ``one_cell_type``, and those of the readers.
    """
    with measured("reference", reference=row.reference) as record:
        atlas = read_counts(row.path)
        if row.labels:
            atlas = join_labels(atlas, row.labels)
        prepared = prepare(
            atlas, row, min_cells=min_cells, min_counts=min_counts, organism=organism, orthologs=orthologs
        )
        values = depth_normalised(prepared.X)
        prepared.var["median_nonzero"] = nonzero_medians(values)
        profile = mean_by_type(values, prepared.obs["cell_type"], prepared.var_names)
        found = find_markers(values, prepared.obs["cell_type"], profile)
    prepared.uns["tissuemake"] |= {"seconds": record["seconds"], "peak_memory_mb": record["peak_memory_mb"]}
    write_table(profile, signatures, SIGNATURES, record)
    write_table(found, markers, MARKERS, record)
    write_anndata(prepared, output, REFERENCE)


def prepare(
    atlas: ad.AnnData,
    row: Reference,
    *,
    min_cells: int = 10,
    min_counts: int | None = None,
    organism: str | None = None,
    orthologs: str | Path | None = None,
) -> ad.AnnData:
    """Return the cells of `atlas` that have a type and enough counts, with tidy genes.

    ``uns["hierarchy"]``: a table, index the finest type, a column per coarser level.
    ``uns["types"]``: a table of cells, donors and mean counts by type.
    """
    where = f"The reference '{row.reference}' ({row.path})"
    levels = label_levels(row.label_key)
    typed = typed_cells(atlas, levels, where)
    origin = {"counts_from": atlas.uns["counts_from"], "cells_without_type": typed.uns["cells_without_type"]}
    keep = _enough_counts(typed.X, min_counts)
    origin["cells_with_few_counts"] = int((~keep).sum())
    typed = typed[keep]
    typed, dropped = _enough_cells(typed, min_cells, where, row.label_key)

    obs, hierarchy = _levels(typed.obs, levels)
    obs["donor"] = donors(typed.obs, row.donor_key, where)
    obs["total_counts"] = np.asarray(typed.X.sum(axis=1)).ravel()
    prepared = ad.AnnData(sp.csr_matrix(typed.X), obs=obs, var=typed.var.copy())
    prepared.obs_names_make_unique()
    prepared = tidy_genes(prepared)
    if organism and row.organism and organism != row.organism:
        prepared = to_organism(prepared, row.organism, organism, orthologs, where)
    prepared = prepared[:, np.asarray(prepared.X.sum(axis=0)).ravel() > 0].copy()
    prepared.uns = {
        "tissuemake": {
            "reference": row.reference,
            "organism": organism or row.organism,
            "source_organism": row.organism,
            "levels": [*hierarchy.columns, "cell_type"],
            **origin,
        },
        "hierarchy": hierarchy,
        "types": _summary(prepared.obs),
        "dropped_types": dropped,
    }
    return prepared


def _enough_counts(counts: sp.csr_matrix, min_counts: int | None) -> np.ndarray:
    totals = np.asarray(counts.sum(axis=1)).ravel()
    if min_counts is None:
        logged = np.log1p(totals)
        spread = 1.4826 * np.median(np.abs(logged - np.median(logged))) if len(logged) else 0.0
        min_counts = np.expm1(np.median(logged) - MADS * spread) if spread > 0 else 1
    return totals >= max(min_counts, 1)


def _enough_cells(
    atlas: ad.AnnData, min_cells: int, where: str, label_key: str
) -> tuple[ad.AnnData, pd.DataFrame]:
    sizes = atlas.obs["_finest"].value_counts()
    small = sizes[sizes < min_cells]
    if len(small):
        log.warning(
            "%s: %d types have fewer than %d cells and are left out: %s",
            where,
            len(small),
            min_cells,
            ", ".join(f"{name} ({cells})" for name, cells in small.items()),
        )
    if len(sizes) - len(small) < 2:
        raise InputError(
            "one_cell_type",
            f"{where}: '{label_key}' gives {len(sizes)} cell types, and {len(sizes) - len(small)} have at "
            f"least {min_cells} cells; a composition needs two.",
            "Choose another label_key in references.tsv, a larger atlas, or a smaller min_cells.",
        )
    kept = atlas[~atlas.obs["_finest"].isin(small.index).to_numpy()]
    return kept, small.rename_axis("cell_type").to_frame("n_cells")


def _levels(obs: pd.DataFrame, levels: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The finest label as ``cell_type`` and every coarser one, nested, as a column of its own."""
    fine = obs["_finest"].astype(str)
    hierarchy = pd.DataFrame(index=pd.Index(np.unique(fine), name="cell_type"))
    for number, level in enumerate(levels[:-1], start=1):
        # The name must not collide with a contract column, nor open a group inside HDF5.
        name = (
            f"level_{number}" if level in ("cell_type", "donor", "total_counts") else level.replace("/", "_")
        )
        hierarchy[name] = nest(fine, obs[level], level).reindex(hierarchy.index).astype(str)
        refuse_reserved(hierarchy[name], f"Level '{level}' of the reference")
    columns = {name: hierarchy[name].loc[fine].to_numpy() for name in hierarchy}
    return pd.DataFrame({"cell_type": fine.to_numpy(), **columns}, index=obs.index.astype(str)), hierarchy


def _summary(obs: pd.DataFrame) -> pd.DataFrame:
    grouped = obs.groupby("cell_type", observed=True)
    return pd.DataFrame(
        {
            "n_cells": grouped.size(),
            "n_donors": grouped["donor"].nunique(),
            "mean_counts": grouped["total_counts"].mean(),
        }
    )
