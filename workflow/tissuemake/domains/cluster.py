"""Tissue domains by expression alone, with that of the neighbourhood, by the stained image and by spot embeddings."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.contracts import DOMAINS, FILTERED, SPOT_EMBEDDINGS, read_anndata, write_table
from tissuemake.domains.clusterers import leiden_labels, mixture_labels
from tissuemake.domains.image_features import image_embedding, join_blocks, read_tile_vectors
from tissuemake.domains.neighbors import microns, neighborhood_mean, neighborhood_radius
from tissuemake.errors import InputError
from tissuemake.expression import most_variable
from tissuemake.provenance import measured

# This and the rest were chosen on seven labelled sections: two of DLPFC, olfactory bulb, three of her2st and a
# simulated one, so their scores flatter. Higher resolutions lower the ARI on DLPFC and A1 and raise it on the bulb.
RESOLUTION = 0.5
COMPONENTS = 15
VARIABLE_GENES = 2000
# A cell or a bin tells its type, not its domain: there the neighbourhood counts more, as BANKSY advises.
NEIGHBORHOOD_WEIGHT = {"spot": 0.5, "bin": 0.8, "cell": 0.8}


def cluster_domains(
    filtered: Path,
    output: Path,
    *,
    resolution: float | None = None,
    seed: int = 0,
    embeddings: Mapping[str, Path] = MappingProxyType({}),
    spot_embeddings: Mapping[str, Path] = MappingProxyType({}),
    domains: int | None = None,
) -> None:
    """Write ``domains.parquet``: columns ``pca`` and ``spatial``, labels "1" (the largest domain), "2", ….

    Parameters
    ----------
    filtered
        ``filtered.h5ad``.
    resolution
        Of Leiden; None means 0.5 for every sample.
    seed
        Of PCA and Leiden; the same seed gives the same labels.
    embeddings
        Encoder → ``embeddings/{encoder}.h5ad``. Each gives two more columns: ``{encoder}`` (image features alone)
        and ``{encoder}+expression`` (both, as much of each). Spots without a tile of their own, or with an
        incomplete vector, have no label there (missing); a sample without such tiles, as of bins or cells, gets no
        such columns.
    spot_embeddings
        Model → ``spot_embeddings/{model}.h5ad``. Each gives a column ``{model}``: mixtures on the embedding as it
        is, not smoothed any further (`clusterers.mixture_labels`).
    domains
        How many the mixtures find; None: as many as `clusterers.choose_domains` says.

    Raises
    ------
    InputError
        ``other_spots`` when an embedding lacks spots of the sample, and those of `read_anndata`.
    """
    resolution = RESOLUTION if resolution is None else resolution
    with measured("cluster_domains", seed=seed, resolution=resolution) as provenance:
        adata = read_anndata(filtered, FILTERED)
        positions = microns(adata)
        radius = neighborhood_radius(positions, float(adata.uns["tissuemake"].get("pitch_um", 0.0)))
        expression = expression_embedding(adata.X, seed)
        weight = NEIGHBORHOOD_WEIGHT.get(str(adata.uns["tissuemake"].get("observation")), 0.5)
        spatial = spatial_embedding(expression, positions, radius, weight)
        labels = {
            "pca": leiden_labels(expression, resolution, seed),
            "spatial": leiden_labels(spatial, resolution, seed),
        }
        provenance.update(radius_um=round(radius, 3), neighborhood_weight=weight)
        for encoder, path in embeddings.items():
            labels |= image_domains(encoder, path, adata.obs_names, expression, resolution, seed)
        for model, path in spot_embeddings.items():
            vectors = read_spot_embedding(path, adata.obs_names)
            labels[model] = mixture_labels(vectors, domains, seed)
        provenance["encoders"] = [encoder for encoder in embeddings if encoder in labels]
    write_table(pd.DataFrame(labels, index=adata.obs_names), output, DOMAINS, provenance)


def read_spot_embedding(path: Path, barcodes: pd.Index) -> np.ndarray:
    """Vectors (spots, width) of a sample's spots, in their order."""
    embedded = read_anndata(path, SPOT_EMBEDDINGS)
    rows = embedded.obs_names.get_indexer(barcodes)
    if (rows < 0).any():
        raise InputError(
            "other_spots",
            f"{path} lacks {int((rows < 0).sum())} of {len(barcodes)} spots, {barcodes[rows < 0][0]} the first.",
            f"Delete it and run again: {SPOT_EMBEDDINGS.written_by} embeds the spots that quality control kept.",
        )
    return np.asarray(embedded.X)[rows]


def image_domains(
    encoder: str, embeddings: Path, barcodes: pd.Index, expression: np.ndarray, resolution: float, seed: int
) -> dict[str, np.ndarray]:
    """Return labels by column, None where a spot has no tile; no columns where no spot has one."""
    vectors, seen = read_tile_vectors(embeddings, barcodes)
    if not seen.any():
        return {}
    image = image_embedding(vectors, seed)
    found = {}
    for column, embedding in (
        (encoder, image),
        (f"{encoder}+expression", join_blocks(image, expression[seen])),
    ):
        found[column] = np.full(len(barcodes), None, dtype=object)
        found[column][seen] = leiden_labels(embedding, resolution, seed)
    return found


def expression_embedding(log_counts: sp.csr_matrix, seed: int = 0) -> np.ndarray:
    """Return the first 15 principal components (n, ≤ 15) of the 2,000 genes that vary most.

    Variance of log-CP10k, not a dispersion ratio: on DLPFC layers it gives an ARI higher by .1.
    """
    import scanpy as sc

    genes = most_variable(log_counts, VARIABLE_GENES)
    n_components = min(COMPONENTS, log_counts.shape[0] - 1, len(genes) - 1)
    if n_components < 1:
        return log_counts[:, genes[:1]].toarray() if len(genes) else np.zeros((log_counts.shape[0], 1))
    return np.asarray(sc.pp.pca(log_counts[:, genes], n_comps=n_components, random_state=seed), dtype=float)


def spatial_embedding(
    expression: np.ndarray, positions: np.ndarray, radius_um: float, weight: float = 0.5
) -> np.ndarray:
    """Join each spot's components with the mean of those within `radius_um`, which has the share `weight`.

    The idea of BANKSY (Singhal et al., Nature Genetics 2024) without its gradient term.

    Returns
    -------
    numpy.ndarray
        (n, 2 k) for `expression` (n, k).
    """
    around = neighborhood_mean(expression, positions, radius_um)
    return np.hstack([np.sqrt(1 - weight) * expression, np.sqrt(weight) * around])
