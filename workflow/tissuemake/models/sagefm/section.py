"""One section as the network sees it: counts of the vocabulary, sparse, with depth and neighbours beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import anndata as ad
import numpy as np
import scipy.sparse as sp

from tissuemake.models.sagefm.graph import Neighborhood, neighborhood_of

TARGET = 1e4
# Variance of a Pearson residual beyond Poisson's, and where it is cut (Lause, Berens & Kobak 2021).
OVERDISPERSION = 0.01
LARGEST_RESIDUAL = 8.0
# A spot of e^.5 times the section's median depth has depth 1.
DEPTH_UNIT = 0.5


@dataclass(frozen=True)
class Section:
    """Counts of one section in the order of a vocabulary.

    Attributes
    ----------
    counts
        CSR float32 (n, V); columns of genes that were not measured are empty.
    measured
        bool (V,).
    total
        float64 (n,): counts over all genes of the file, at least 1.
    neighbors
        Who lies around whom.
    """

    counts: sp.csr_matrix
    measured: np.ndarray
    total: np.ndarray
    neighbors: Neighborhood

    def __len__(self) -> int:
        return self.counts.shape[0]

    def log_values(self) -> sp.csr_matrix:
        """log1p of counts per 10,000, CSR (n, V)."""
        scaled = self.counts.copy()
        scaled.data = np.log1p(scaled.data * np.repeat(TARGET / self.total, np.diff(scaled.indptr)))
        return scaled.astype(np.float32)

    def rates(self) -> np.ndarray:
        """Share of each gene in all counts of the section, float64 (V,)."""
        return np.asarray(self.counts.sum(axis=0), dtype=np.float64).ravel() / self.total.sum()

    def residuals(self, rows: np.ndarray, rates: np.ndarray) -> np.ndarray:
        """Pearson residuals of a negative binomial, float32 (rows, V): what a spot has beyond its depth."""
        expected = self.total[rows, None] * rates
        spread = np.sqrt(expected + OVERDISPERSION * expected**2)
        values = (self.counts[rows].toarray() - expected) / np.where(spread > 0, spread, 1)
        return np.clip(values, -LARGEST_RESIDUAL, LARGEST_RESIDUAL).astype(np.float32)

    def depth(self) -> np.ndarray:
        """Log library size beside the section's median, and its square, float32 (n, 2)."""
        relative = np.clip((np.log(self.total) - np.log(np.median(self.total))) / DEPTH_UNIT, -4, 4)
        return np.column_stack([relative, relative**2]).astype(np.float32)


def read_section(adata: ad.AnnData, genes: Sequence[str], neighbors: Neighborhood | None = None) -> Section:
    """Take the vocabulary `genes` out of contract FILTERED, by symbol.

    Parameters
    ----------
    neighbors
        Instead of those that lie around each observation.
    """
    column = adata.var_names.get_indexer(list(genes))
    found = np.flatnonzero(column >= 0)
    counts = sp.csr_matrix(adata.layers["counts"], dtype=np.float32)
    place = sp.csr_matrix(
        (np.ones(len(found), np.float32), (column[found], found)), shape=(adata.n_vars, len(genes))
    )
    total = np.maximum(np.asarray(counts.sum(axis=1), dtype=np.float64).ravel(), 1)
    return Section(
        sp.csr_matrix(counts @ place),
        column >= 0,
        total,
        neighborhood_of(adata) if neighbors is None else neighbors,
    )
