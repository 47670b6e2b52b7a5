"""Toy slides whose image features show two of three planted programmes, with expression that follows all three."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.contracts import EMBEDDINGS, FILTERED, PATHWAYS, write_anndata, write_table
from tissuemake.models.quadflow.architecture import Architecture, Preset
from tissuemake.models.schedule import Schedule

SETS = ("SHOWN", "ROUND", "UNSEEN")
PER_SET, OTHERS = 12, 24
FEATURES = 10
QUICK = Preset(
    Architecture(width=16, layers=1, heads=2, latent=4, genes=60, free=2, dropout=0.1),
    Schedule(steps=40, learning_rate=5e-3, validate_every=20),
)


def slide(seed: int, side: int = 13, donor: str = "") -> tuple[ad.AnnData, ad.AnnData, pd.DataFrame]:
    """Contracts FILTERED, EMBEDDINGS (spots, and a grid between them) and PATHWAYS of a square lattice."""
    rng = np.random.default_rng(seed)
    row, column = (axis.ravel() for axis in np.indices((side, side)))
    places = np.column_stack([column, row]) * 200.0
    between = np.column_stack([axis.ravel() for axis in np.indices((side, side))]) * 200.0 + 100
    everywhere = np.concatenate([places, between])
    truth = np.column_stack(
        [
            np.sin(everywhere[:, 0] / 500 + seed),
            np.cos(np.hypot(*(everywhere - 1200).T) / 400),
            rng.normal(size=len(everywhere)),
        ]
    )
    shown = np.random.default_rng(7).normal(size=(2, FEATURES))
    features = truth[:, :2] @ shown + rng.normal(0, 0.5, (len(everywhere), FEATURES))
    n = len(places)
    return (
        _sample(truth[:n], places, donor or f"donor {seed}", rng),
        _tiles(features, everywhere, n),
        _scores(truth[:n], rng),
    )


def gene_sets() -> dict[str, list[str]]:
    """Genes by programme."""
    return {name: [f"G{i * PER_SET + j}" for j in range(PER_SET)] for i, name in enumerate(SETS)}


def _sample(truth, places, donor, rng) -> ad.AnnData:
    n = len(places)
    log_rate = np.full((n, len(SETS) * PER_SET + OTHERS), 2.0)
    log_rate[:, : len(SETS) * PER_SET] += 0.6 * np.repeat(truth, PER_SET, axis=1)
    counts = sp.csr_matrix(rng.poisson(np.exp(log_rate)).astype(np.float32))
    total = np.asarray(counts.sum(axis=1)).ravel()
    values = np.log1p(counts.toarray() * (1e4 / total)[:, None]).astype(np.float32)
    names = [f"G{i}" for i in range(counts.shape[1])]
    adata = ad.AnnData(
        sp.csr_matrix(values),
        obs=pd.DataFrame(
            {"in_tissue": True, "total_counts": total, "n_genes_by_counts": np.diff(counts.indptr)},
            index=[f"spot{i}" for i in range(n)],
        ),
        var=pd.DataFrame({"gene_id": ""}, index=names),
    )
    adata.layers["counts"] = counts
    adata.obsm["spatial"] = places * 2  # half a µm per pixel
    adata.uns = {
        "spatial": {"toy": {"images": {}, "scalefactors": {"microns_per_pixel": 0.5}}},
        "tissuemake": {"sample": "toy", "donor": donor, "lattice": "square", "organism": "human"},
        "dropped": pd.DataFrame({"reason": []}),
    }
    return adata


def _tiles(features, places, spots) -> ad.AnnData:
    kind = np.where(np.arange(len(places)) < spots, "spot", "grid")
    side = int(np.sqrt(spots))
    names = [f"spot{i}" for i in range(spots)]
    # Grid rows lie along x here: the name says row, then column.
    names += [f"g{j}_{i}" for i in range(side) for j in range(side)]
    obs = pd.DataFrame(
        {"kind": kind, "x": places[:, 0] * 2, "y": places[:, 1] * 2, "size_um": 200.0}, index=names
    )
    tiles = ad.AnnData(features.astype(np.float32), obs=obs)
    tiles.var_names = [f"f{i}" for i in range(features.shape[1])]
    tiles.uns["tissuemake"] = {"encoder": "toy"}
    return tiles


def _scores(truth, rng) -> pd.DataFrame:
    noisy = 3 + 0.5 * (truth + rng.normal(0, 0.5, truth.shape))
    return pd.DataFrame(
        noisy.astype(np.float32), index=[f"spot{i}" for i in range(len(truth))], columns=list(SETS)
    )


def write_gene_sets(folder: Path) -> Path:
    """As a GMT."""
    path = folder / "sets.gmt"
    path.write_text("".join("\t".join([name, "na", *genes]) + "\n" for name, genes in gene_sets().items()))
    return path


def written(folder: Path, name: str, parts: tuple) -> tuple[Path, Path, Path]:
    """Paths of a slide's three files."""
    paths = tuple(folder / name / file for file in ("filtered.h5ad", "toy.h5ad", "measured.parquet"))
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    write_anndata(parts[0], paths[0], FILTERED)
    write_anndata(parts[1], paths[1], EMBEDDINGS)
    write_table(parts[2], paths[2], PATHWAYS)
    return paths
