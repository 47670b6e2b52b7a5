"""A striped tissue whose genes follow its two types, with a reference of the same types."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

N_GENES = 80


def log_normal(counts: sp.csr_matrix) -> sp.csr_matrix:
    """log1p CP10k, as in a filtered sample."""
    depth = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
    return (sp.diags(1e4 / depth) @ counts).log1p().tocsr().astype(np.float32)


@pytest.fixture(scope="module")
def profiles() -> pd.DataFrame:
    """Mean CP10k (genes, types): half of the genes belong to one type, half to the other."""
    rng = np.random.default_rng(0)
    means = rng.gamma(2, 1, (N_GENES, 2))
    means[: N_GENES // 2, 0] *= 6
    means[N_GENES // 2 :, 1] *= 6
    names = [f"GENE{i}" for i in range(N_GENES)]
    return pd.DataFrame(means / means.sum(axis=0) * 1e4, index=pd.Index(names), columns=["left", "right"])


@pytest.fixture(scope="module")
def composition() -> pd.DataFrame:
    """400 spots on a square lattice; the share of 'left' falls along x."""
    x = np.arange(400) % 20
    left = 1 / (1 + np.exp((x - 9.5) / 3))
    return pd.DataFrame({"left": left, "right": 1 - left}, index=[f"s{i}" for i in range(400)])


@pytest.fixture(scope="module")
def spots(profiles, composition) -> ad.AnnData:
    """A filtered sample measured for the first 70 genes, with varying depth."""
    rng = np.random.default_rng(1)
    depth = rng.lognormal(0, 0.4, (400, 1)) * 400 / 1e4
    counts = sp.csr_matrix(rng.poisson(composition.to_numpy() @ profiles.to_numpy().T * depth)[:, :70])
    counts = counts.astype(np.float32)
    index = np.arange(400)
    sample = ad.AnnData(
        log_normal(counts),
        obs=pd.DataFrame(
            {
                "in_tissue": True,
                "total_counts": np.asarray(counts.sum(axis=1)).ravel(),
                "n_genes_by_counts": np.diff(counts.indptr),
            },
            index=composition.index,
        ),
        var=pd.DataFrame({"gene_id": ""}, index=profiles.index[:70]),
        layers={"counts": counts},
        obsm={"spatial": np.stack([index % 20, index // 20], axis=1).astype(float) * 100},
    )
    sample.uns = {"spatial": {}, "tissuemake": {"sample": "striped"}, "dropped": pd.DataFrame()}
    return sample


@pytest.fixture(scope="module")
def reference(profiles) -> ad.AnnData:
    """Forty cells of the two types."""
    rng = np.random.default_rng(2)
    kinds = np.repeat(["left", "right"], 20)
    counts = sp.csr_matrix(rng.poisson(profiles[kinds].to_numpy().T * 0.05).astype(np.float32))
    atlas = ad.AnnData(counts, var=pd.DataFrame({"gene_id": "", "median_nonzero": 1.0}, index=profiles.index))
    atlas.obs = pd.DataFrame({"cell_type": kinds, "donor": "d"}, index=[f"c{i}" for i in range(40)])
    atlas.uns["tissuemake"] = {}
    return atlas
