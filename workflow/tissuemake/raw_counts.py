"""Ground floor: raw counts and gene names in an h5ad from anywhere, wherever its writer put them."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.contracts import is_integer_counts
from tissuemake.errors import InputError
from tissuemake.genes import is_ensembl, tidy_genes
from tissuemake.hdf5_guard import check_hdf5

SYMBOL_COLUMNS = (
    "symbol",
    "feature_name",
    "gene_name",
    "gene_names",
    "gene_symbol",
    "gene_symbols",
    "SYMBOL",
)
ID_COLUMNS = ("gene_id", "gene_ids", "ensembl_id", "ensembl", "ENSEMBL", "feature_id")
COUNT_LAYERS = ("counts", "raw_counts", "raw")


def read_spots(path: str | Path) -> ad.AnnData:
    """Read the counts of a sample to predict on: one of our ``filtered.h5ad``, or anybody's h5ad.

    Returns
    -------
    AnnData
        ``X`` raw counts (spots, genes) CSR float32, one column per gene; ``var`` indexed by unique symbols with
        ``gene_id``; ``obs``, ``obsm`` and ``uns`` as they are in the file.

    Raises
    ------
    InputError
        ``unreadable_h5ad``, ``not_counts``, ``negative_counts``, ``no_spots``, ``duplicate_barcodes``.
    """
    path = Path(path)
    check_hdf5(path, str(path))
    try:
        adata = ad.read_h5ad(path)
    except Exception as error:  # a file cut short fails anywhere in h5py, numpy or anndata
        raise InputError(
            "unreadable_h5ad",
            f"{path} is not a readable h5ad file ({error}).",
            "Correct the path, or write the file again; it is missing, damaged or another format.",
        ) from error
    matrix, var = find_counts(adata, str(path))
    if not adata.n_obs:
        raise InputError("no_spots", f"{path} holds no spots.", "Give a file with at least one.")
    if not adata.obs_names.is_unique:
        raise InputError(
            "duplicate_barcodes",
            f"{path}: barcode '{adata.obs_names[adata.obs_names.duplicated()][0]}' stands more than once.",
            "Make them unique (adata.obs_names_make_unique()), or write one file per section.",
        )
    symbols, ids = find_genes(var)
    named = pd.DataFrame({"gene_id": ids}, index=pd.Index(symbols, dtype=str))
    counts = ad.AnnData(matrix.astype(np.float32), obs=adata.obs, var=named, obsm=adata.obsm, uns=adata.uns)
    return tidy_genes(counts)


def find_genes(var: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Symbols and Ensembl ids of a ``var`` table, from its index and its usual columns; ids may be empty."""
    names = pd.Index(var.index.astype(str))
    ids = next(
        (var[column].astype(str).to_numpy(object) for column in ID_COLUMNS if column in var),
        np.repeat("", len(names)),
    )
    ids = np.where(is_ensembl(names), names, ids)
    symbols = next(
        (var[column].astype(str).to_numpy(object) for column in SYMBOL_COLUMNS if column in var), names
    )
    return np.where(np.isin(symbols, ["", "nan", "None", "NA"]), names, symbols), ids


def find_counts(adata: ad.AnnData, where: str) -> tuple[sp.csr_matrix, pd.DataFrame]:
    """The matrix that holds whole numbers, and its var: X, else a layer of counts, else raw.

    Raises
    ------
    InputError
        ``not_counts``, with what was looked at.
    """
    places = {"X": (adata.X, adata.var)}
    places |= {f"layers['{k}']": (adata.layers[k], adata.var) for k in COUNT_LAYERS if k in adata.layers}
    if adata.raw is not None:
        places["raw.X"] = (adata.raw.X, adata.raw.var)
    seen = []
    for name, (matrix, var) in places.items():
        if matrix is None:
            continue
        values = matrix.data if sp.issparse(matrix) else np.asarray(matrix).ravel()
        if values.size and is_integer_counts(values):
            return sp.csr_matrix(matrix), var
        span = f"{values.min():g} to {values.max():g}" if values.size else "empty"
        seen.append(f"{name} ({span})")
    code = "negative_counts" if len(seen) == 1 and adata.X is not None and adata.X.min() < 0 else "not_counts"
    raise InputError(
        code,
        f"{where} holds no raw counts; looked at {', '.join(seen) or 'nothing'}.",
        "Store raw integer counts in X, in layers['counts'] or in raw.",
    )
