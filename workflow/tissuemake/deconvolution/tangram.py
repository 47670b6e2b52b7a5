"""Tangram (Biancalani et al. 2021, Nat. Methods): map reference cells onto spots, then count their types."""

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.deconvolution.gene_choice import shared_markers
from tissuemake.deconvolution.optional import require
from tissuemake.device import given_device

EPOCHS = 1000
# The mapping is a dense (cells, spots) matrix with gradients: 5,000 x 5,000 takes about 0.5 GB.
MOST_CELLS = 5000


def proportions(
    spots: ad.AnnData,
    reference: ad.AnnData,
    signatures: pd.DataFrame,
    markers: pd.DataFrame,
    seed: int,
    gpus: int = 0,
) -> pd.DataFrame:
    """Mapped probability by type in every spot (spots, types); on the GPU that the job was given, else the CPU."""
    tangram = require("tangram", "tangram")
    device = given_device(min(gpus, 1))

    here, there = shared_markers(spots, reference, markers)
    cells = balanced_cells(reference.obs["cell_type"].astype(str).to_numpy(), MOST_CELLS, seed)
    names = reference.var_names[there].to_numpy()
    single = _plain(reference.X[cells][:, there], reference.obs_names[cells], names)
    spatial = _plain(spots.layers["counts"][:, here], spots.obs_names, names)
    # Tangram divides by each gene's sum and each spot's counts.
    spatial = spatial[np.asarray(spatial.X.sum(axis=1)).ravel() > 0].copy()

    tangram.pp_adatas(single, spatial, genes=list(names))
    mapping = tangram.map_cells_to_space(
        single,
        spatial,
        mode="cells",
        density_prior="rna_count_based",
        num_epochs=EPOCHS,
        device=device.torch_name,
        random_state=seed,
        verbose=False,
    )
    types = signatures.columns
    belongs = pd.get_dummies(reference.obs["cell_type"].astype(str).iloc[cells]).reindex(
        columns=types, fill_value=False
    )
    mapped = np.asarray(mapping.X).T @ belongs.to_numpy(np.float64)
    table = pd.DataFrame(mapped, index=spatial.obs_names, columns=types).reindex(spots.obs_names)
    table.attrs = {"n_genes": len(here), "n_cells": len(cells), "device": device.name, "epochs": EPOCHS}
    return table


def balanced_cells(cell_type: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Positions of at most `most` cells, taken from the largest types first, rare types kept whole."""
    if len(cell_type) <= most:
        return np.arange(len(cell_type))
    names, codes, sizes = np.unique(cell_type, return_inverse=True, return_counts=True)
    limit = next(
        cap for cap in range(max(sizes), 0, -1) if np.minimum(sizes, cap).sum() <= max(most, len(names))
    )
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(codes == kind))[:limit] for kind in range(len(names))]
    return np.sort(np.concatenate(chosen))


def _plain(counts, observations: pd.Index, genes: np.ndarray) -> ad.AnnData:
    return ad.AnnData(
        sp.csr_matrix(counts, dtype=np.float32),
        obs=pd.DataFrame(index=observations),
        var=pd.DataFrame(index=genes),
    )
