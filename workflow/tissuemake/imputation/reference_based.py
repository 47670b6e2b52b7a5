"""Predict expression as the mixture of the reference's profiles that the spot's composition says."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.errors import InputError
from tissuemake.evaluation.held_out import assemble, deal, most_genes, score
from tissuemake.genes import match_genes
from tissuemake.least_squares import solve_nnls

FEWEST_GENES = 10
# As many type-specific genes as deconvolution looks at, for the refit without the hidden genes.
GENES_PER_TYPE = 60
PSEUDO = 0.1


def predict(
    spots: ad.AnnData,
    reference: ad.AnnData,
    signatures: pd.DataFrame,
    proportions: pd.DataFrame,
    hidden: np.ndarray,
    *,
    folds: int = 5,
    seed: int = 0,
    aliases: str | Path | None = None,
) -> ad.AnnData:
    """Mix `signatures` by `proportions`: log1p of CP10k, for measured and unmeasured genes.

    The given proportions saw the measured genes, so they cannot score them. A hidden gene is predicted from
    a composition fitted by NNLS without its whole fold: `held_out_r` is what the signatures can say of a
    gene that was not measured, and it is NaN for genes that the reference does not have.

    Parameters
    ----------
    signatures
        Mean CP10k (genes, types), index as ``reference.var_names``.
    proportions
        (spots, types).
    hidden
        Positions in `spots` of the genes that are scored.
    """
    match = match_genes(spots.var, reference.var, aliases)
    if len(match.left) < FEWEST_GENES:
        raise InputError(
            "no_shared_genes",
            f"The sample and the reference share {len(match.left)} genes.",
            "Check that both are of one organism and name genes alike (symbols or Ensembl ids).",
        )
    profile = signatures.loc[reference.var_names]
    types = [name for name in profile.columns if name in proportions]
    if not types:
        raise InputError(
            "no_shared_types",
            f"The composition ({', '.join(map(str, proportions.columns[:3]))}, …) and the reference "
            f"({', '.join(map(str, profile.columns[:3]))}, …) share no cell type.",
            "Give the sample the reference that its first deconvolution method was made from.",
        )
    profile = profile[types].to_numpy(np.float64)
    shares = proportions.loc[spots.obs_names, types].to_numpy(np.float64)

    scored, scores = _score_hidden(spots, profile, match, hidden, folds, seed)
    there = dict(zip(match.left, match.right, strict=True))
    kept = np.array([there[gene] for gene in scored], dtype=int)
    chosen = _informative(profile, most_genes(spots.n_obs), keep=kept)
    # Summed over spots first: the mixture of every shared gene in every spot would be (spots, 20,000).
    factor = _platform_scale(spots, shares.sum(axis=0) @ profile[match.right].T, match.left)
    values = np.log1p(shares.astype(np.float32) @ (factor * profile[chosen].T).astype(np.float32))
    var = _gene_table(spots, reference, match, chosen)
    return assemble(spots, values, var, scores)


def _score_hidden(spots, profile, match, hidden, folds, seed) -> tuple[np.ndarray, pd.DataFrame]:
    """Hide each fold of genes, fit the composition on the others, predict, and score over the section."""
    position = {gene: i for i, gene in enumerate(match.left)}
    scored = np.array([gene for gene in hidden if gene in position], dtype=int)
    shared = profile[match.right]
    counts = sp.csr_matrix(spots.layers["counts"])[:, match.left].tocsc()
    predicted = np.zeros((spots.n_obs, len(scored)), dtype=np.float32)
    fold_of = deal(len(scored), folds, seed)
    for fold in np.unique(fold_of):
        target = np.array([position[gene] for gene in scored[fold_of == fold]])
        usable = np.setdiff1d(np.arange(len(shared)), target)
        basis = usable[_informative(shared[usable], GENES_PER_TYPE * shared.shape[1])]
        weights = 1 / np.sqrt(shared[basis].mean(axis=1) + PSEUDO)
        weighted = shared[basis] * weights[:, None]
        products = counts[:, basis].astype(np.float64) @ (weights[:, None] * weighted)
        fitted = solve_nnls(weighted.T @ weighted, products)
        fitted /= np.maximum(fitted.sum(axis=1, keepdims=True), 1e-12)
        predicted[:, fold_of == fold] = np.log1p(fitted @ shared[target].T)
    return scored, score(spots, scored, predicted)


def _informative(profile: np.ndarray, most: int, keep: np.ndarray | None = None) -> np.ndarray:
    """Positions of the `most` genes highest above the mean of the other types, `keep` among them, sorted.

    Types take turns, so that one with loud genes does not fill the list.
    """
    kept = np.array([], dtype=int) if keep is None else np.unique(keep)
    if len(profile) <= most:
        return np.arange(len(profile))
    level = np.log2(profile + PSEUDO)
    change = level - (level.sum(axis=1, keepdims=True) - level) / max(level.shape[1] - 1, 1)
    place = np.argsort(np.argsort(-change, axis=0, kind="stable"), axis=0).min(axis=1)
    place[kept] = -1
    return np.sort(np.argsort(place, kind="stable")[: max(most, len(kept))])


def _platform_scale(spots: ad.AnnData, mixture: np.ndarray, genes: np.ndarray) -> float:
    """One factor that brings the mixture to the section's own CP10k (a panel measures few genes deeply)."""
    measured = spots.X[:, genes]
    total = measured.expm1().sum() if sp.issparse(measured) else np.expm1(measured).sum()
    return float(total / max(mixture.sum(), 1e-12))


def _gene_table(spots: ad.AnnData, reference: ad.AnnData, match, chosen: np.ndarray) -> pd.DataFrame:
    """Genes under the sample's own names where it has them."""
    here = dict(zip(match.right, match.left, strict=True))
    names = [spots.var_names[here[gene]] if gene in here else reference.var_names[gene] for gene in chosen]
    var = pd.DataFrame(
        {
            "gene_id": reference.var["gene_id"].astype(str).to_numpy()[chosen],
            "measured": [gene in here for gene in chosen],
        },
        index=pd.Index(names, dtype=str),
    )
    # A gene of the reference may bear the symbol of another gene of the sample.
    if not var.index.is_unique:
        var.index = pd.Index(
            [
                f"{name} (reference)" if twice else name
                for name, twice in zip(names, var.index.duplicated(), strict=True)
            ]
        )
    return var
