"""Predict hidden genes of a sample by the pretrained network, and score them on this sample."""

from pathlib import Path

import numpy as np
import pandas as pd

from tissuemake.contracts import FILTERED, IMPUTED, read_anndata, write_anndata
from tissuemake.evaluation import held_out
from tissuemake.models.held_out import donor_of
from tissuemake.models.sagefm.encode import load_sagefm, weights_of
from tissuemake.provenance import measured

FOLDS = 5


def impute_sagefm(
    filtered: Path,
    model: Path | str,
    output: Path,
    *,
    seed: int = 0,
    held_out_genes: int = 200,
    gpus: int = 0,
) -> None:
    """Write contract IMPUTED: every gene of the vocabulary, measured here or not.

    Genes are dealt into five folds; those of a fold are hidden in the whole section while they are predicted, so that
    a written value is what the model says of a gene that was not measured. `held_out_r` is the score of just these
    values, and is missing for a donor whom the model was taught on.
    """
    adata = read_anndata(filtered, FILTERED)
    made_by = {"model": str(model), "weights_sha256": weights_of(model)}
    with measured("sagefm", seed=seed, n_spots=adata.n_obs, **made_by) as record:
        network = load_sagefm(model, gpus)
        record["device"] = network.device.name
        section = network.read(adata, str(filtered))
        taught = donor_of(adata.uns["tissuemake"]) in network.donors
        hidden = held_out.choose(adata, held_out_genes, seed)
        written = _written(network.genes, section.measured, adata, hidden)
        values = np.empty((adata.n_obs, len(written)), np.float32)
        fold_of = held_out.deal(len(network.genes), FOLDS, seed)
        for fold in np.unique(fold_of):
            inside = fold_of[written] == fold
            values[:, inside] = network.predict(
                section, fold_of == fold, everywhere=True, genes=written[inside]
            )
        # Log expression is not negative; the unclipped value carries no more.
        values = np.maximum(values, 0)
        record["pretrained_on_this_donor"] = taught
    imputed = _assemble(adata, network.genes, written, values, hidden, taught)
    record["n_held_out"] = int(imputed.var["held_out_r"].notna().sum())
    imputed.uns["tissuemake"] = record
    imputed.obsm["spatial"] = np.asarray(adata.obsm["spatial"])
    imputed.obs["total_counts"] = adata.obs["total_counts"].to_numpy()
    write_anndata(imputed, output, IMPUTED)


def _written(genes: list[str], measured_here: np.ndarray, adata, hidden: np.ndarray) -> np.ndarray:
    """Positions in the vocabulary that are written: those to be scored, then measured ones, then the others."""
    scored = np.isin(genes, adata.var_names[hidden])
    order = np.lexsort((np.arange(len(genes)), ~measured_here, ~scored))
    return np.sort(order[: held_out.most_genes(adata.n_obs)])


def _assemble(adata, genes, written, values, hidden, taught):
    names = pd.Index(np.asarray(genes)[written])
    column = adata.var_names.get_indexer(names)
    ids = adata.var["gene_id"].to_numpy()
    var = pd.DataFrame(
        {
            "gene_id": [str(ids[i]) if i >= 0 else "" for i in column],
            "measured": column >= 0,
        },
        index=names,
    )
    known = hidden[np.isin(adata.var_names[hidden], names)]
    place = names.get_indexer(adata.var_names[known])
    scores = held_out.score(adata, known, values[:, place])
    if taught:
        scores[:] = np.nan
    return held_out.assemble(adata, values, var, scores)
