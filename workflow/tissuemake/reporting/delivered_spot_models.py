"""What a delivery holds of the spatial graph model: its numbers for every spot, labels, and answers to perturbation."""

from collections.abc import Mapping
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake import contracts
from tissuemake.reporting.spot_models import SpotModels, read_spot_models


def add_spot_models(
    adata: ad.AnnData,
    embeddings: Mapping[str, Path],
    annotation: Mapping[str, Path],
    perturbation: Mapping[str, Path],
) -> dict[str, dict]:
    """Add ``obsm["X_MODEL"]``, ``obs["annotation_MODEL"]`` and its probability; return provenance by step.

    Spots that a model said nothing of have zeros in the first, as scanpy takes no missing number, and no label.
    """
    found: SpotModels = read_spot_models(annotation, perturbation, embeddings)
    for model, path in embeddings.items():
        vectors = contracts.read_anndata(path, contracts.SPOT_EMBEDDINGS)
        table = pd.DataFrame(np.asarray(vectors.X, np.float32), index=vectors.obs_names)
        adata.obsm[f"X_{model}"] = table.reindex(adata.obs_names).fillna(0).to_numpy(np.float32)
    for model, table in found.annotation.items():
        placed = table.reindex(adata.obs_names)
        adata.obs[f"annotation_{model}"] = pd.Categorical(placed["label"].astype("object"))
        adata.obs[f"annotation_probability_{model}"] = placed["probability"].astype(np.float32)
    return {f"{step}/{model}": record for (step, model), record in found.records().items()}


def copies(annotation: Mapping[str, Path], perturbation: Mapping[str, Path]) -> dict[str, Path]:
    """Return the tables that are delivered as they are, by the name they get."""
    return {
        f"{kind}_{model}.parquet": path
        for kind, files in (("annotation", annotation), ("perturbation", perturbation))
        for model, path in files.items()
    }
