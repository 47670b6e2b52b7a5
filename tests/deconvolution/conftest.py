"""Real pairs of tissue and atlas with a known or published composition, as the contracts would hold them."""

import logging
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tissuemake.reference.atlas import prepare_reference
from tissuemake.sheets import Reference

COARSE = (
    *(("L2/3", "ExcitatoryL2and3"), ("L5", "ExcitatoryL5"), ("L6", "ExcitatoryL6"), ("Astro", "Astro")),
    *(("Oligo", "Olig"), ("OPC", "OPC"), ("Macro", "Micro"), ("Endo", "Endo"), ("Pvalb", "Pvalb")),
    *(("Sst", "Sst"), ("Vip", "Vip"), ("Lamp5", "Npy")),
)


@dataclass
class Prepared:
    """The three files of a prepared reference, read."""

    files: dict[str, Path]
    atlas: ad.AnnData
    signatures: pd.DataFrame
    markers: pd.DataFrame


def spots_of(counts: pd.DataFrame) -> ad.AnnData:
    """A filtered sample of a count table (spots, genes), as far as deconvolution looks at it."""
    matrix = sp.csr_matrix(counts.to_numpy(np.float32))
    spots = ad.AnnData(
        matrix,
        obs=pd.DataFrame({"in_tissue": True}, index=counts.index.astype(str)),
        var=pd.DataFrame({"gene_id": ""}, index=counts.columns.astype(str)),
        layers={"counts": matrix.copy()},
    )
    spots.obs["total_counts"] = np.asarray(matrix.sum(axis=1)).ravel()
    spots.obs["n_genes_by_counts"] = np.diff(matrix.indptr)
    depth = np.maximum(spots.obs["total_counts"].to_numpy(), 1)
    spots.X = (sp.diags(1e4 / depth) @ matrix).log1p().tocsr().astype(np.float32)
    spots.uns = {"spatial": {}, "tissuemake": {}, "dropped": pd.DataFrame()}
    spots.obsm["spatial"] = np.stack([np.arange(spots.n_obs), np.zeros(spots.n_obs)], axis=1)
    return spots


def starmap(data_dir: Path) -> tuple[ad.AnnData, pd.DataFrame]:
    """STARmap section 1 binned to spots, and its exact composition."""
    folder = data_dir / "deconv_truth/starmap_section1/spots"
    truth = pd.read_csv(folder / "combined_spot_clusters.txt", sep="\t", index_col=0)
    counts = pd.read_csv(folder / "combined_spatial_count.txt", sep="\t").set_index(truth.index)
    spots = spots_of(counts)
    spots.obsm["spatial"] = pd.read_csv(folder / "combined_Locations.txt", sep="\t").to_numpy(float)
    truth.index = truth.index.astype(str)
    return spots, truth.div(truth.sum(axis=1), axis=0)


def her2st(data_dir: Path, section: str) -> tuple[ad.AnnData, pd.DataFrame]:
    """A her2st section and stereoscope's published composition (an estimate, not a truth)."""
    folder = data_dir / "st_her2"
    counts = pd.read_csv(folder / f"counts/{section}.tsv.gz", sep="\t", index_col=0)
    truth = pd.read_csv(
        folder / f"stereoscope_proportions/major/{section}-proportion.tsv", sep="\t", index_col=0
    )
    return spots_of(counts.loc[truth.index]), truth


def prepared(row: Reference, folder: Path, min_cells: int = 10) -> Prepared:
    """Prepare `row` into `folder`."""
    names = {"reference": "reference.h5ad", "signatures": "signatures.parquet", "markers": "markers.parquet"}
    files = {part: folder / name for part, name in names.items()}
    logging.disable(logging.WARNING)
    prepare_reference(row, files["reference"], files["signatures"], files["markers"], min_cells=min_cells)
    logging.disable(logging.NOTSET)
    return Prepared(
        files,
        ad.read_h5ad(files["reference"]),
        pd.read_parquet(files["signatures"]),
        pd.read_parquet(files["markers"]),
    )


def section2(data_dir: Path, folder: Path) -> Prepared:
    """The cells of STARmap section 2; five are enough for a type, as the section is small."""
    path = data_dir / "deconv_truth/starmap_section2_left_cells/reference_cells.h5ad"
    return prepared(Reference("section2", str(path), "cell_type", "mouse"), folder, min_cells=5)


def motor_cortex(data_dir: Path, folder: Path) -> Prepared:
    """The motor-cortex atlas, its 44 types gathered to 12 by a table."""
    path = data_dir / "sc_reference/mouse_mop_10x_500genes.h5ad"
    fine = ad.read_h5ad(path, backed="r").obs["cell_type"].unique()
    coarse = [next(name for start, name in COARSE if cell.startswith(start)) for cell in fine]
    table = folder / "hierarchy.tsv"
    pd.DataFrame({"cell_type": fine, "class": coarse}).to_csv(table, sep="\t", index=False)
    return prepared(Reference("mop", str(path), "class", "mouse", labels=str(table)), folder)


def breast_tnbc(data_dir: Path, folder: Path) -> Prepared:
    """The breast tumour atlas at its major types."""
    path = data_dir / "sc_reference/breast_tnbc_cid4465.h5ad"
    return prepared(Reference("tnbc", str(path), "celltype_major", "human"), folder)


def stereoscope_names(proportions: pd.DataFrame) -> pd.DataFrame:
    """The atlas's major types as stereoscope's authors name them."""
    renamed = proportions.rename(columns={"Plasmablasts": "Plasma Cells"})
    renamed["Epithelial"] = renamed["Cancer Epithelial"] + renamed["Normal Epithelial"]
    return renamed


@pytest.fixture(scope="module")
def starmap_spots(data_dir):
    """STARmap section 1: spots, exact composition."""
    return starmap(data_dir)


@pytest.fixture(scope="module")
def section2_reference(data_dir, tmp_path_factory):
    """The prepared cells of STARmap section 2."""
    return section2(data_dir, tmp_path_factory.mktemp("section2"))


@pytest.fixture(scope="module")
def motor_cortex_reference(data_dir, tmp_path_factory):
    """The prepared motor-cortex atlas, 12 coarse types."""
    return motor_cortex(data_dir, tmp_path_factory.mktemp("mop"))


@pytest.fixture(scope="module")
def breast_reference(data_dir, tmp_path_factory):
    """The prepared breast atlas, 9 major types."""
    return breast_tnbc(data_dir, tmp_path_factory.mktemp("tnbc"))


@pytest.fixture(scope="module")
def her2st_spots(data_dir):
    """A function from a section's name to its spots and published composition."""
    return lambda section: her2st(data_dir, section)


@pytest.fixture(scope="module")
def toy_reference(tmp_path_factory):
    """A reference of four types with ten marker genes each, written and read as a real one."""
    folder = tmp_path_factory.mktemp("toy")
    rng = np.random.default_rng(0)
    means = np.full((4, 60), 0.5)
    for kind in range(4):
        means[kind, kind * 10 : kind * 10 + 10] = 8
    kinds = np.repeat(np.arange(4), 30)
    atlas = ad.AnnData(
        sp.csr_matrix(rng.poisson(means[kinds]).astype(np.float32)),
        obs=pd.DataFrame({"kind": [f"type {kind}" for kind in kinds]}, index=[f"c{i}" for i in range(120)]),
        var=pd.DataFrame(index=[f"GENE{i}" for i in range(60)]),
    )
    atlas.write_h5ad(folder / "atlas.h5ad")
    return prepared(Reference("toy", str(folder / "atlas.h5ad"), "kind", "human"), folder)


@pytest.fixture(scope="module")
def toy_spots(toy_reference):
    """Forty spots mixed from the toy reference, and their composition."""
    rng = np.random.default_rng(1)
    signatures = toy_reference.signatures
    truth = pd.DataFrame(
        rng.dirichlet(np.full(4, 0.7), 40), columns=signatures.columns, index=[f"s{i}" for i in range(40)]
    )
    counts = rng.poisson(truth.to_numpy() @ signatures.to_numpy().T / 10)
    return spots_of(pd.DataFrame(counts, index=truth.index, columns=signatures.index)), truth


@pytest.fixture(scope="session")
def make_spots():
    """A function from a count table (spots, genes) to a filtered sample."""
    return spots_of


@pytest.fixture(scope="session")
def as_stereoscope():
    """A function that names the breast atlas's types as the published composition does."""
    return stereoscope_names
