"""An atlas of five planted types, samples mixed from it, and settings by which a model trains in seconds."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.models.schedule import Schedule
from tissuemake.models.sparank.architecture import Architecture, Preset
from tissuemake.reference.atlas import prepare_reference
from tissuemake.sheets import Reference

TYPES = ["B cell", "T cell", "fibroblast", "macrophage", "tumour"]
GENES = [f"GENE{i}" for i in range(140)]
IDS = [f"ENSG{i:011d}" for i in range(140)]
# Marker m of type k is gene k + 5 m; no other type has more than a trace of it.
MARKERS = 8
PRESET = Preset(
    Architecture(width=16, layers=1, heads=2, reads=6),
    Schedule(steps=40, validate_every=20, learning_rate=5e-3),
    genes=120,
    spots=32,
)


def profiles(types: int = len(TYPES)) -> np.ndarray:
    """Shares of genes (types, genes), rows sum to 1."""
    level = np.random.default_rng(7).gamma(0.6, size=(types, len(GENES))) + 0.05
    for kind in range(types):
        markers = kind + types * np.arange(MARKERS)
        level[:, markers] = 0.02
        level[kind, markers] = 8.0
    return level / level.sum(1, keepdims=True)


def markers_of(kind: int) -> list[str]:
    return [GENES[kind + len(TYPES) * m] for m in range(MARKERS)]


def atlas(types: list[str] = TYPES, donors: int = 5, cells: int = 12, depth: int = 500) -> ad.AnnData:
    """Raw counts of `cells` cells of every type and donor."""
    rng = np.random.default_rng(1)
    obs = pd.DataFrame(
        [(name, f"donor {d}") for name in types for d in range(donors) for _ in range(cells)],
        columns=["label", "patient"],
    )
    obs.index = [f"cell{i}" for i in range(len(obs))]
    level = profiles(len(types))[obs["label"].map(types.index)]
    counts = rng.poisson(level * depth * rng.lognormal(0, 0.3, (len(obs), 1)))
    return ad.AnnData(
        sp.csr_matrix(counts.astype(np.float32)), obs=obs, var=pd.DataFrame({"gene_id": IDS}, index=GENES)
    )


def prepare(cells: ad.AnnData, folder: Path, name: str = "toy") -> tuple[Path, Path]:
    """The files of a prepared reference: reference.h5ad, markers.parquet."""
    folder.mkdir(parents=True, exist_ok=True)
    cells.write_h5ad(folder / "atlas.h5ad")
    row = Reference(name, str(folder / "atlas.h5ad"), "label", "human", donor_key="patient")
    files = [folder / file for file in ("reference.h5ad", "signatures.parquet", "markers.parquet")]
    prepare_reference(row, *files)
    return files[0], files[2]


def sample(spots: int = 60, depth: int = 1500, seed: int = 3) -> tuple[ad.AnnData, pd.DataFrame]:
    """A plain h5ad's content, as anybody has it, and its true shares."""
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet(np.full(len(TYPES), 0.4), spots)
    counts = rng.poisson(truth @ profiles() * depth)
    barcodes = [f"spot{i}" for i in range(spots)]
    spatial = rng.uniform(0, 1000, (spots, 2))
    made = ad.AnnData(
        sp.csr_matrix(counts.astype(np.float32)),
        obs=pd.DataFrame(index=barcodes),
        var=pd.DataFrame(index=GENES),
        obsm={"spatial": spatial},
    )
    return made, pd.DataFrame(truth, index=barcodes, columns=TYPES)
