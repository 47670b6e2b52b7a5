"""Mean expression profile of every cell type, and how strongly each gene is expressed where it is."""

import numpy as np
import pandas as pd
import scipy.sparse as sp

DEPTH = 1e4


def depth_normalised(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Counts (cells, genes) per 10,000 of each cell."""
    totals = np.asarray(counts.sum(axis=1)).ravel()
    scale = sp.diags(DEPTH / np.maximum(totals, 1))
    return (scale @ counts).tocsr()


def mean_by_type(values: sp.csr_matrix, cell_type: pd.Series, genes: pd.Index) -> pd.DataFrame:
    """Mean of `values` (cells, genes) over the cells of each type: a (genes, types) table."""
    types, codes = np.unique(cell_type.astype(str), return_inverse=True)
    cells = np.bincount(codes, minlength=len(types))
    member = sp.csr_matrix((1 / cells[codes], (codes, np.arange(len(codes)))), shape=(len(types), len(codes)))
    means = (member @ values).toarray() if sp.issparse(values) else member @ values
    return pd.DataFrame(np.asarray(means, dtype=np.float64).T, index=genes, columns=types)


def nonzero_medians(values: sp.spmatrix) -> np.ndarray:
    """Median of each column's non-zero `values`; NaN for a gene seen in no cell.

    The scale that rank encodings divide by (Theodoris et al. 2023, Geneformer).
    """
    columns = sp.csc_matrix(values)
    medians = np.full(columns.shape[1], np.nan)
    for gene, (start, end) in enumerate(zip(columns.indptr[:-1], columns.indptr[1:], strict=True)):
        if end > start:
            medians[gene] = np.median(columns.data[start:end])
    return medians
