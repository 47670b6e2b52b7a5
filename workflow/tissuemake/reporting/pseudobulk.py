"""Samples as wholes: the counts of each gene over a section, and the few axes along which sections differ most."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

GENES = 2000
AXES = 20
# A gene that a section in ten lacks is one of another panel.
SHARED = 0.9


def read_totals(path: str | Path, genes: pd.Index | None = None) -> pd.Series | None:
    """Return the counts of each gene over a section from ``filtered.h5ad``, without reading the counts themselves.

    Parameters
    ----------
    genes
        The genes to return, NaN where the section lacks one; None: its own.
    """
    with h5py.File(path) as file:
        var = file["var"]
        if "total_counts" not in var:
            return None
        names = pd.Index(var[var.attrs["_index"]].asstr()[:])
        totals = var["total_counts"][:].astype(np.float32)
    found = pd.Series(totals, index=names)
    return found if genes is None else found[~names.duplicated()].reindex(genes)


def read_profiles(paths: dict[str, Path]) -> pd.DataFrame | None:
    """Return log1p counts per million of the genes that nearly all sections have: a row per key of `paths`.

    None where a file of an earlier version does not state the counts of its genes.
    """
    first = read_totals(next(iter(paths.values())))
    if first is None:
        return None
    genes = first.index[~first.index.duplicated()]
    rows = [read_totals(path, genes) for path in paths.values()]
    if any(row is None for row in rows):
        return None
    counts = np.vstack([row.to_numpy() for row in rows])
    counts = np.nan_to_num(counts[:, np.isfinite(counts).mean(axis=0) >= SHARED])
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return pd.DataFrame(np.log1p(1e6 * share), index=list(paths))


def principal_axes(profiles: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return where each section stands on the principal axes of the most variable genes, and what variance each has."""
    values = profiles.to_numpy(np.float32)
    kept = np.argsort(-values.var(axis=0))[:GENES]
    values = (values[:, kept] - values[:, kept].mean(axis=0)).astype(float)
    # Sections are fewer than genes: the products of sections are the smaller way to the same axes.
    size, axes = np.linalg.eigh(values @ values.T)
    size, axes = np.maximum(size[::-1], 0.0), axes[:, ::-1]
    places = axes[:, :AXES] * np.sqrt(size[:AXES])
    return pd.DataFrame(places, index=profiles.index), size[:AXES] / max(float(size.sum()), 1e-12)
