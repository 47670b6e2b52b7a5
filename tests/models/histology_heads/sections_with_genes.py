"""Sections whose expression follows their tiles' vectors, as the two files that heads read."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

SIDE, FEATURES, GENES = 12, 6, 60


def write_section(
    folder: Path,
    name: str,
    *,
    donor: str,
    seed: int,
    organism: str = "human",
    genes: np.ndarray | None = None,
    encoder: str = "toy",
    tiles: int | None = None,
    follows: bool = True,
    weights: str = "",
    fine_tuned_on: dict[str, str] | None = None,
) -> tuple[Path, Path]:
    """Write ``filtered.h5ad`` and embeddings of a square section; genes are columns of one law for all sections.

    Parameters
    ----------
    genes
        Which of the `GENES` genes it measures, in which order.
    tiles
        So many spots have one.
    follows
        Whether expression follows the vectors at all.
    fine_tuned_on
        Donors, by sample, whose expression taught the encoder.
    """
    rng = np.random.default_rng(seed)
    law = np.random.default_rng(99).normal(0, 0.9, (FEATURES, GENES))
    law[:, GENES // 2 :] = 0
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(SIDE), np.arange(SIDE)))
    waves = rng.uniform(0.2, 1, (FEATURES, 2))
    vectors = np.sin(np.column_stack([x, y]) @ waves.T + rng.uniform(0, 6, FEATURES))
    vectors = vectors + rng.normal(0, 0.2, vectors.shape)
    rate = np.exp((vectors if follows else rng.normal(size=vectors.shape)) @ law * 0.5)
    depth = np.exp(rng.normal(8, 0.3, len(x)))
    counts = rng.poisson(rate / rate.sum(axis=1, keepdims=True) * depth[:, None])
    genes = np.arange(GENES) if genes is None else genes
    counts = sp.csr_matrix(counts[:, genes].astype(np.float32))
    barcodes = pd.Index([f"{i}x{j}" for i, j in zip(x, y, strict=True)])
    total = np.asarray(counts.sum(axis=1)).ravel()
    spots = ad.AnnData(
        sp.csr_matrix(counts.multiply(1e4 / total[:, None])).log1p(),
        obs=pd.DataFrame({"in_tissue": True, "total_counts": total, "n_genes_by_counts": 1}, index=barcodes),
        var=pd.DataFrame({"gene_id": ""}, index=[f"GENE{gene}" for gene in genes]),
        obsm={"spatial": np.column_stack([x, y]) * 100.0},
        layers={"counts": counts},
    )
    spots.uns["tissuemake"] = {"sample": name, "donor": donor, "organism": organism}
    spots.uns["spatial"] = {name: {"images": {}, "scalefactors": {"microns_per_pixel": 1.0}}}
    spots.uns["dropped"] = pd.DataFrame({"reason": []})
    have = len(x) if tiles is None else tiles
    embeddings = ad.AnnData(
        vectors[:have].astype(np.float32),
        obs=pd.DataFrame(
            {"kind": "spot", "x": x[:have] * 100.0, "y": y[:have] * 100.0, "size_um": 90.0},
            index=barcodes[:have],
        ),
        var=pd.DataFrame(index=[f"f{i}" for i in range(FEATURES)]),
        uns={"tissuemake": {"encoder": encoder, "weights_sha256": weights}},
    )
    if fine_tuned_on:
        embeddings.uns["tissuemake"]["fine_tuned_on"] = fine_tuned_on
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}.filtered.h5ad", folder / f"{name}.embeddings.h5ad"
    for adata, path in zip((spots, embeddings), paths, strict=True):
        adata.write_h5ad(path)
    return paths
