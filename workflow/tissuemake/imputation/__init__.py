"""Expression where it was not measured, or not well: each method scored on genes it was not shown."""

from pathlib import Path

import anndata as ad
import numpy as np

from tissuemake.contracts import (
    FILTERED,
    IMPUTED,
    PROPORTIONS,
    REFERENCE,
    SIGNATURES,
    known_shares,
    read_anndata,
    read_table,
    write_anndata,
)
from tissuemake.errors import InputError, refuse_unknown_method
from tissuemake.evaluation import held_out
from tissuemake.imputation import neighbors, reference_based
from tissuemake.provenance import measured

METHODS = ("reference", "neighbors")
FOLDS = 5


def impute(
    method: str,
    filtered: str | Path,
    reference: str | Path | None,
    signatures: str | Path | None,
    proportions: str | Path | None,
    output: str | Path,
    *,
    seed: int = 0,
    held_out_genes: int = 200,
    folds: int = FOLDS,
    aliases: str | Path | None = None,
) -> None:
    """Predict expression in every spot and write it with each hidden gene's score.

    ``reference`` mixes the signatures by the spot's composition, and so predicts genes that the tissue was
    not measured for; ``neighbors`` predicts measured genes from the spot's other genes and those around it.
    At most 2,000 genes are written (the most variable, or the most type-specific), fewer of more than 50,000
    spots, so that files stay small; the hidden ones are always among them.
    The same hidden genes are drawn for every method, from `seed` and the sample alone. `aliases`: a person's
    table of former gene symbols, beside the built-in one.

    Raises
    ------
    InputError
        ``unknown_method``, ``missing_reference_files``, ``no_shared_genes``.
    """
    refuse_unknown_method("imputation", method, METHODS)
    spots = read_anndata(filtered, FILTERED)
    with measured(method, seed=seed, n_spots=spots.n_obs) as record:
        hidden = held_out.choose(spots, held_out_genes, seed)
        if method == "neighbors":
            predicted = neighbors.predict(spots, hidden, folds=folds, seed=seed)
        else:
            if reference is None or signatures is None or proportions is None:
                raise InputError(
                    "missing_reference_files",
                    "The imputation method 'reference' needs a reference and a composition of the spots.",
                    "Name a reference for the sample in samples.tsv, or leave this method out.",
                )
            table = read_table(proportions, PROPORTIONS)
            predicted = reference_based.predict(
                spots,
                read_anndata(reference, REFERENCE),
                read_table(signatures, SIGNATURES),
                known_shares(table),
                hidden,
                folds=folds,
                seed=seed,
                aliases=aliases,
            )
            record["proportions"] = str(table.attrs.get("tissuemake", {}).get("method", ""))
    record["n_held_out"] = int(predicted.var["held_out_r"].notna().sum())
    predicted.uns["tissuemake"] = record
    _carry_over(spots, predicted)
    write_anndata(predicted, output, IMPUTED)


def _carry_over(spots: ad.AnnData, predicted: ad.AnnData) -> None:
    predicted.obsm["spatial"] = np.asarray(spots.obsm["spatial"])
    predicted.obs["total_counts"] = spots.obs["total_counts"].to_numpy()
