"""What a delivery holds of cell types and domains: columns of the h5ad, imputed genes in place, coarser levels."""

import re
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake import contracts
from tissuemake.contracts import type_columns
from tissuemake.hierarchy import coarser, stated_hierarchy


def gather(filtered: Path, proportions: dict[str, Path], domains: Path) -> tuple[ad.AnnData, dict[str, dict]]:
    """Return the filtered spots with cell types and domains joined by barcode, and the provenance by step."""
    adata = contracts.read_anndata(filtered, contracts.FILTERED)
    records = {}
    for method, path in proportions.items():
        table = contracts.read_table(path, contracts.PROPORTIONS)
        records[f"deconvolution/{method}"] = table.attrs.get("tissuemake", {})
        types = type_columns(table)
        table = safe_columns(table.reindex(adata.obs_names).rename(columns=str))
        adata.obsm[f"proportions_{method}"] = table
        shares = table[safe_names([str(name) for name in types])]
        dominant = pd.Series(pd.NA, index=adata.obs_names, dtype="object")
        known = shares.notna().all(axis=1)
        dominant[known] = shares[known].idxmax(axis=1)
        adata.obs[f"dominant_type_{method}"] = pd.Categorical(dominant)
    clusters = contracts.read_table(domains, contracts.DOMAINS)
    records["domains"] = clusters.attrs.get("tissuemake", {})
    for method in clusters:
        # SpatialData takes no "+" in a name.
        adata.obs[f"domain_{method.replace('+', '_and_')}"] = pd.Categorical(
            clusters[method].reindex(adata.obs_names).astype("object")
        )
    return adata, records


def place(prediction: ad.AnnData, adata: ad.AnnData) -> ad.AnnData:
    """Return imputed genes with the coordinates, image and annotations of their spots."""
    rows = adata.obs_names.get_indexer(prediction.obs_names)
    if (rows < 0).any():
        raise ValueError("imputed spots that were filtered out")
    placed = prediction.copy()
    placed.obsm["spatial"] = np.asarray(adata.obsm["spatial"])[rows]
    placed.uns["spatial"] = adata.uns["spatial"]
    for name in adata.obs:
        if str(name).startswith(("domain_", "dominant_type_", "total_counts")):
            placed.obs[name] = adata.obs[name].to_numpy()[rows]
    return placed


def safe_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Return `table` with column names that HDF5 and zarr can hold."""
    return table.set_axis(safe_names(list(table.columns)), axis=1)


def safe_names(names: list[str]) -> list[str]:
    """Return `names` with slashes, which both formats read as folders, as ``|``; made unique if that made twins."""
    made: list[str] = []
    for name in names:
        safe = name.replace("/", "|")
        while safe in made:
            safe += "'"
        made.append(safe)
    return made


def write_levels(proportions: dict[str, Path], output: Path) -> dict[str, dict]:
    """Write each method's table at each coarser level; return by file its method, its level, and what was summed."""
    written = {}
    for method, path in proportions.items():
        table = contracts.read_table(path, contracts.PROPORTIONS)
        parents = stated_hierarchy(table)
        tables = coarser(table)
        names = safe_names([re.sub(r"[^\w.+-]+", "_", level) for level in tables])
        for name, (level, rolled) in zip(names, tables.items(), strict=True):
            file = f"proportions_{method}.{name}.parquet"
            contracts.write_table(rolled, output / file, contracts.PROPORTIONS, rolled.attrs["tissuemake"])
            sums: dict[str, list[str]] = {}
            for fine in (kind for kind in type_columns(table) if kind != contracts.UNKNOWN):
                sums.setdefault(parents[level][fine], []).append(fine)
            written[file] = {"method": method, "level": level, "types": sums}
    return written
