"""Sections of toy spots with embeddings: what a head needs, in no time."""

from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.contracts import EMBEDDINGS, FILTERED, write_anndata

PITCH_UM = 100.0
MICRONS_PER_PIXEL = 0.5


@dataclass(frozen=True)
class ToySection:
    """Files of a section."""

    filtered: Path
    embeddings: Path
    labels: Path

    @property
    def for_tumor(self) -> tuple[Path, Path, str]:
        """As `fit_tumor` takes it."""
        return self.filtered, self.embeddings, str(self.labels)


def lattice(side: int, step_um: float) -> np.ndarray:
    """Positions (side², 2) in µm."""
    rows, columns = np.indices((side, side)).reshape(2, -1)
    return np.column_stack([columns, rows]) * step_um + PITCH_UM


def write_filtered(
    path: Path,
    sample: str,
    positions: np.ndarray,
    counts: np.ndarray,
    *,
    donor: str = "",
    observation: str = "spot",
    names: list[str] | None = None,
) -> ad.AnnData:
    """Write ``filtered.h5ad`` with spots at `positions` (µm) and integer `counts` (spots, genes)."""
    counts = sp.csr_matrix(counts.astype(np.float32))
    totals = np.asarray(counts.sum(1)).ravel()
    scaled = sp.diags(1e4 / np.maximum(totals, 1)) @ counts
    spots = ad.AnnData(
        scaled.log1p().tocsr().astype(np.float32),
        obs=pd.DataFrame(
            {
                "in_tissue": True,
                "total_counts": totals,
                "n_genes_by_counts": np.asarray((counts > 0).sum(1)).ravel(),
            },
            index=names or [f"{sample}-{i}" for i in range(len(positions))],
        ),
        var=pd.DataFrame({"gene_id": ""}, index=[f"G{i}" for i in range(counts.shape[1])]),
        obsm={"spatial": positions / MICRONS_PER_PIXEL},
    )
    spots.layers["counts"] = counts
    spots.uns["spatial"] = {
        sample: {"images": {}, "scalefactors": {"microns_per_pixel": MICRONS_PER_PIXEL}, "metadata": {}}
    }
    spots.uns["tissuemake"] = {
        "sample": sample,
        "donor": donor,
        "source": "",
        "observation": observation,
        "lattice": "square" if observation == "spot" else "none",
        "pitch_um": PITCH_UM if observation == "spot" else 0.0,
        "spot_diameter_um": 55.0 if observation == "spot" else 0.0,
    }
    spots.uns["dropped"] = pd.DataFrame({"reason": []})
    write_anndata(spots, path, FILTERED)
    return spots


def write_embeddings(
    path: Path, tiles: pd.DataFrame, vectors: np.ndarray, encoder: str = "toy", **provenance: object
) -> None:
    """Write embeddings of `tiles` (index tile; kind, x, y in µm)."""
    obs = tiles.assign(size_um=112.0, x=tiles["x"] / MICRONS_PER_PIXEL, y=tiles["y"] / MICRONS_PER_PIXEL)
    found = ad.AnnData(
        vectors.astype(np.float32),
        obs=obs,
        var=pd.DataFrame(index=[f"f{i}" for i in range(vectors.shape[1])]),
    )
    found.uns["tissuemake"] = {"encoder": encoder, **provenance}
    write_anndata(found, path, EMBEDDINGS)


def spot_tiles(spots: ad.AnnData) -> pd.DataFrame:
    """The tile of every spot."""
    place = spots.obsm["spatial"] * MICRONS_PER_PIXEL
    return pd.DataFrame({"kind": "spot", "x": place[:, 0], "y": place[:, 1]}, index=spots.obs_names)


def tumor_section(
    folder: Path,
    sample: str,
    *,
    donor: str = "",
    seed: int = 0,
    side: int = 12,
    features: int = 6,
    healthy: bool = False,
    staining: float = 0.0,
    **provenance: object,
) -> ToySection:
    """A section whose right half is tumour; feature 0 shows it through noise, the others show nothing.

    `healthy` has none; `staining` is added to all features of the section; `provenance` is the embeddings'.
    """
    rng = np.random.default_rng(seed)
    positions = lattice(side, PITCH_UM)
    tumour = positions[:, 0] > np.median(positions[:, 0])
    section = ToySection(
        folder / f"{sample}.h5ad", folder / f"{sample}-toy.h5ad", folder / f"{sample}-labels.tsv"
    )
    spots = write_filtered(
        section.filtered, sample, positions, rng.poisson(3, (len(positions), 8)), donor=donor
    )
    tumour &= not healthy
    vectors = rng.normal(staining, 1, (len(positions), features))
    vectors[:, 0] += 1.5 * tumour
    write_embeddings(section.embeddings, spot_tiles(spots), vectors, **provenance)
    labels = pd.DataFrame({"label": np.where(tumour, "cancer", "stroma")}, index=spots.obs_names)
    labels.to_csv(section.labels, sep="\t", index_label="barcode")
    return section
