"""Counts as every reader hands them on: CSR, one feature type apart from the other, checked to be counts."""

import re

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.errors import InputError

GENE_EXPRESSION = "Gene Expression"


def make_counts(
    matrix: object, barcodes: object, names: object, gene_ids: object = None, types: object = None
) -> ad.AnnData:
    """Return AnnData of all features: X CSR float32 (n_obs, n_features), var gene_id and feature_type.

    Barcodes may be bytes, text or numbers; `check_counts` looks whether one stands twice.
    """
    names = pd.Index(np.asarray(names, dtype=str), name=None)
    var = pd.DataFrame(index=names)
    var["gene_id"] = "" if gene_ids is None else np.asarray(gene_ids, dtype=str)
    var["feature_type"] = GENE_EXPRESSION if types is None else np.asarray(types, dtype=str)
    counts = sp.csr_matrix(matrix).astype(np.float32, copy=False)
    counts.sum_duplicates()
    with ad.settings.override(check_uniqueness=False):
        return ad.AnnData(counts, obs=pd.DataFrame(index=barcode_index(barcodes)), var=var)


def barcode_index(barcodes: object) -> pd.Index:
    """Barcodes (text, bytes or numbers) as text. Of those that rise, pandas knows at once that none stands twice.

    A table of eight million names, which it would fill to tell, costs it ten seconds.
    """
    values = np.asarray(barcodes)
    kind = pd.api.types.infer_dtype(values, skipna=False)
    if kind == "bytes":
        import pyarrow as pa

        # In half the time that numpy takes, and without its four bytes a letter.
        values = pa.array(values).cast(pa.string()).to_pandas(deduplicate_objects=False)
    elif kind != "string":
        values = values.astype(str)
    index = pd.Index(values, dtype=object)
    _ = index.is_monotonic_increasing  # is_unique follows from a strict order, once that was looked at
    return index


def check_counts(adata: ad.AnnData, where: str) -> None:
    """Raise `InputError` when X does not hold counts or barcodes repeat.

    Parameters
    ----------
    adata
        As from `make_counts`.
    where
        Sample and file, for the message.

    Raises
    ------
    InputError
        ``nan_counts``, ``negative_counts``, ``not_counts``, ``all_zero``, ``empty_matrix``,
        ``duplicate_barcodes``.
    """
    values = adata.X.data
    source = "Point the sheet to the raw count matrix as the instrument's software wrote it."
    if adata.n_obs == 0 or adata.n_vars == 0:
        raise InputError(
            "empty_matrix", f"{where} holds {adata.n_obs} barcodes × {adata.n_vars} features.", source
        )
    repeated = adata.obs_names[adata.obs_names.duplicated()]
    if len(repeated):
        raise InputError(
            "duplicate_barcodes",
            f"{where}: barcode '{repeated[0]}' stands more than once ({len(repeated)} repeats).",
            "Write one section per file; sections joined into one table need barcodes of their own.",
        )
    if not np.isfinite(values).all():
        raise InputError(
            "nan_counts", f"{where}: {np.sum(~np.isfinite(values))} values are not numbers.", source
        )
    if values.size and values.min() < 0:
        raise InputError("negative_counts", f"{where}: the smallest value is {values.min():g}.", source)
    broken = values[values != np.rint(values)]
    if broken.size:
        raise InputError(
            "not_counts",
            f"{where}: {broken.size} of {values.size} values are not whole, e.g. {broken[0]:g};"
            " this looks like normalised expression.",
            source,
        )
    if not values.any():
        raise InputError("all_zero", f"{where}: every count is zero.", source)


def split_features(adata: ad.AnnData, where: str) -> ad.AnnData:
    """Keep gene expression in X and move every other feature type to ``obsm["features_<type>"]``.

    Raises
    ------
    InputError
        ``no_gene_expression`` when no gene-expression feature is there.
    """
    types = adata.var["feature_type"].astype(str)
    is_gene = (types == GENE_EXPRESSION).to_numpy()
    if not is_gene.any():
        raise InputError(
            "no_gene_expression",
            f"{where} has no feature of type '{GENE_EXPRESSION}', only {', '.join(sorted(set(types)))}.",
            "Give the gene expression matrix of this sample.",
        )
    genes = ad.AnnData(
        adata.X[:, np.flatnonzero(is_gene)].tocsr(), obs=adata.obs.copy(), var=adata.var.loc[is_gene].copy()
    )
    for kind in sorted(set(types[~is_gene])):
        columns = np.flatnonzero((types == kind).to_numpy())
        names = adata.var_names[columns]
        names = names if names.is_unique else pd.Index(adata.var["gene_id"].iloc[columns])
        genes.obsm[f"features_{slug(kind)}"] = pd.DataFrame(
            adata.X[:, columns].toarray(), index=adata.obs_names, columns=names
        )
    genes.var = genes.var.drop(columns="feature_type")
    return genes


def slug(text: str) -> str:
    """``Negative Control Probe`` becomes ``negative_control_probe``."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
