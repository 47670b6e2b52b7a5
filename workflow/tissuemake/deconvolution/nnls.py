"""Non-negative least squares of spots on mean profiles, weighted by counting noise."""

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.deconvolution.gene_choice import assemble, poisson_weights
from tissuemake.least_squares import solve_nnls


def proportions(
    spots: ad.AnnData,
    reference: ad.AnnData,
    signatures: pd.DataFrame,
    markers: pd.DataFrame,
    seed: int,
    gpus: int = 0,
) -> pd.DataFrame:
    """Weights of the types in every spot (spots, types), rows sum to 1 where anything was counted.

    Signatures are counts per 10,000, so weights are shares of the spot's RNA. They are not divided by the
    RNA content of a cell: that of dissociated cells, on another platform, is no measure of it in the tissue.
    The method has no randomness and needs no GPU; `seed` and `gpus` are there for the common signature.
    """
    problem = assemble(spots, reference, signatures, markers)
    shares = fit(problem.counts, problem.signature)
    table = pd.DataFrame(shares, index=spots.obs_names, columns=problem.types)
    table.attrs = {"n_genes": len(problem.genes)}
    return table


def fit(counts: sp.csr_matrix, signature: np.ndarray) -> np.ndarray:
    """Shares (spots, types) of `signature` (genes, types) in `counts` (spots, genes).

    Every spot is solved at its own scale, so depth does not matter; rows of zeros stay zero.
    """
    weights = poisson_weights(signature)
    weighted = signature * weights[:, None]
    # Weights go to the signature's side, so that the counts of a large section stay sparse.
    solution = solve_nnls(weighted.T @ weighted, counts @ (weighted * weights[:, None]))
    return solution / np.maximum(solution.sum(axis=1, keepdims=True), 1e-12)
