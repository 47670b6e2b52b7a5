"""A prepared atlas as tensors: which genes the network looks at, which donors are held out, what types look like."""

from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
import torch

from tissuemake.evaluation.splits import train_and_test
from tissuemake.models.sparank.model import Reference
from tissuemake.reference.mixtures import Cells
from tissuemake.reference.signatures import depth_normalised, mean_by_type, nonzero_medians

# Of the vocabulary, so many come from the markers of each type (or fewer, when types are many); then the genes that
# vary most between types.
MARKERS_PER_TYPE = 100
FOLDS = 5
# A median of few cells is theirs, not the gene's; a gene of no cell in a part of the atlas has none.
LOWEST_MEDIAN = 0.05


@dataclass(frozen=True)
class Part:
    """Cells of some donors, with the reference that knows just their types."""

    cells: Cells
    reference: Reference


def choose_genes(atlas: ad.AnnData, markers: pd.DataFrame, most: int) -> np.ndarray:
    """Positions of at most `most` genes: the best markers of each type first, then those that differ between types."""
    if atlas.n_vars <= most:
        return np.arange(atlas.n_vars)
    kinds = markers["cell_type"].nunique()
    best = (
        markers.sort_values("rank")
        .groupby("cell_type", observed=True)
        .head(min(MARKERS_PER_TYPE, max(most // max(kinds, 1), 1)))
    )
    chosen = dict.fromkeys(atlas.var_names.get_indexer(best["gene"].unique()).tolist())
    chosen.pop(-1, None)
    profile = mean_by_type(depth_normalised(atlas.X), atlas.obs["cell_type"], atlas.var_names)
    for gene in np.argsort(-np.log1p(profile.to_numpy()).var(axis=1), kind="stable").tolist():
        if len(chosen) >= most:
            break
        chosen.setdefault(gene)
    return np.sort(np.fromiter(chosen, dtype=int)[:most])


def split_donors(atlas: ad.AnnData, seed: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """Masks of training and held-out cells, and whether whole donors were held out.

    One donor in five, at least one. An atlas of one donor, and one where that would take a type's only cells from
    training, is split by cells within types instead: its scores then say nothing of other donors.
    """
    donors = atlas.obs["donor"].astype(str)
    kinds = atlas.obs["cell_type"].astype(str)
    if donors.nunique() > 1:
        train, _ = train_and_test(donors, 0, FOLDS, seed)
        kept = atlas.obs_names.isin(train)
        if kinds[kept].nunique() == kinds.nunique():
            return kept, ~kept, True
    order = np.random.default_rng(seed).permutation(atlas.n_obs)
    place = pd.Series(order, index=atlas.obs_names).groupby(kinds.to_numpy()).rank(method="first")
    held_out = (place % FOLDS == 0).to_numpy()
    return ~held_out, held_out, False


def as_reference(atlas: ad.AnnData, genes: np.ndarray, types: list[str]) -> Reference:
    """Signatures and medians of the types that `atlas` has, over the chosen genes.

    Depth is that of all genes, so that the profile of a type does not depend on the choice.
    """
    values = depth_normalised(atlas.X)[:, genes]
    profile = mean_by_type(values, atlas.obs["cell_type"], atlas.var_names[genes])
    medians = np.nan_to_num(nonzero_medians(values), nan=1.0)
    return Reference(
        torch.tensor(profile.to_numpy(), dtype=torch.float32),
        torch.tensor(np.maximum(medians, LOWEST_MEDIAN), dtype=torch.float32),
        torch.tensor([types.index(name) for name in profile.columns]),
    )


def part(atlas: ad.AnnData, genes: np.ndarray, types: list[str], signatures_of: ad.AnnData) -> Part:
    """Cells of `atlas` to simulate from, and the signatures that `signatures_of` gives of their types."""
    present = sorted(atlas.obs["cell_type"].astype(str).unique(), key=types.index)
    shown = signatures_of[signatures_of.obs["cell_type"].astype(str).isin(present)]
    codes = pd.Categorical(atlas.obs["cell_type"].astype(str), categories=present).codes
    counts = torch.tensor(atlas.X[:, genes].toarray(), dtype=torch.float32)
    cells = Cells(counts, torch.tensor(codes.astype(np.int64)), len(present))
    return Part(cells, as_reference(shown, genes, types))
