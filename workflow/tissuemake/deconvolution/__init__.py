"""Cell types per spot: the methods, one file each, behind one call."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd

from tissuemake.contracts import (
    FILTERED,
    MARKERS,
    PROPORTIONS,
    REFERENCE,
    SIGNATURES,
    read_anndata,
    read_table,
    type_columns,
    write_table,
)
from tissuemake.errors import refuse_unknown_method
from tissuemake.genes import match_genes
from tissuemake.hierarchy import hierarchy_of
from tissuemake.provenance import measured

# Every method is a module with `proportions(spots, reference, signatures, markers, seed, gpus) -> DataFrame`.
METHODS = ("nnls", "nnls_rescaled", "tangram", "cell2location")


def deconvolve(
    method: str,
    filtered: str | Path,
    reference: str | Path,
    signatures: str | Path,
    markers: str | Path,
    output: str | Path,
    *,
    seed: int = 0,
    gpus: int = 0,
    aliases: str | Path | None = None,
) -> None:
    """Estimate the cell-type composition of every spot and write it.

    Rows sum to 1. A spot that no type explains (no count of any shared gene) gets equal shares, the answer
    that claims nothing, and is counted in the provenance as ``spots_without_signal``. The provenance holds the
    coarser levels of the types too (see `tissuemake.hierarchy`). `aliases`: a person's table of former gene
    symbols, beside the built-in one. `gpus`: how many the scheduler gave, for methods that use one.

    Raises
    ------
    InputError
        ``unknown_method``, ``missing_extra``, ``no_shared_genes``, ``gpu_not_visible``.
    """
    refuse_unknown_method("deconvolution", method, METHODS)
    module = import_module(f"tissuemake.deconvolution.{method}")
    spots = read_anndata(filtered, FILTERED)
    atlas = read_anndata(reference, REFERENCE)
    if aliases:
        spots.var_names = names_of_reference(spots.var, atlas.var, aliases)
    profile = read_table(signatures, SIGNATURES)
    marked = read_table(markers, MARKERS)
    with measured(method, seed=seed, n_spots=spots.n_obs, n_types=profile.shape[1]) as record:
        estimate = module.proportions(spots, atlas, profile, marked, seed, gpus)
        shares, empty = to_shares(estimate.reindex(spots.obs_names))
        record["spots_without_signal"] = empty
        record["hierarchy"] = hierarchy_of(atlas.uns)
        record |= estimate.attrs
    write_table(shares, output, PROPORTIONS, record)


def names_of_reference(sample: pd.DataFrame, reference: pd.DataFrame, aliases: str | Path) -> pd.Index:
    """The sample's gene names, as the reference calls them where it has the gene."""
    match = match_genes(sample, reference, aliases)
    names = sample.index.astype(str).to_numpy(object)
    names[match.left] = reference.index[match.right]
    found = np.zeros(len(names), dtype=bool)
    found[match.left] = True
    taken = set(names[found])
    renamed = [
        name if mine or name not in taken else f"{name} (other)"
        for name, mine in zip(names, found, strict=True)
    ]
    return pd.Index(renamed, dtype=str)


def to_shares(estimate: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Make rows of non-negative weights sum to 1; empty rows become uniform. Also returns how many were.

    Columns ``{type}_sd`` are uncertainties of the weights and are scaled with them.
    """
    types = type_columns(estimate)
    weights = np.nan_to_num(estimate[types].to_numpy(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    weights = np.maximum(weights, 0)
    totals = weights.sum(axis=1, keepdims=True)
    empty = totals[:, 0] <= 0
    weights[empty] = 1.0
    totals[empty] = weights.shape[1]
    shares = pd.DataFrame(weights / totals, index=estimate.index, columns=types)
    for column in estimate.columns.difference(types, sort=False):
        shares[column] = estimate[column].to_numpy() / totals[:, 0]
    return shares, int(empty.sum())
