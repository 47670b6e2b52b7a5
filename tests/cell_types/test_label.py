"""Cells are labelled by an atlas, foreign and poor cells are unknown, and the confidence holds what it says."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tissuemake.cell_types import confidence, transfer
from tissuemake.cell_types.label import label_cells
from tissuemake.contracts import (
    CELL_TYPES,
    FILTERED,
    PROPORTIONS,
    REFERENCE,
    UNKNOWN,
    read_table,
    write_anndata,
    write_table,
)
from tissuemake.errors import InputError

GENES, TYPES, CELLS = 120, ("T cell", "B cell", "Fibroblast", "Luminal epithelial"), 400


def profiles(rng: np.random.Generator) -> np.ndarray:
    """Share of each gene in each type (genes, types): 15 genes are ten times higher in their own type."""
    made = rng.gamma(1.0, 1.0, (GENES, 1)) * np.ones((1, len(TYPES)))
    for kind in range(len(TYPES)):
        made[kind * 15 : (kind + 1) * 15, kind] *= 10
    return made / made.sum(axis=0)


def drawn(
    rng: np.random.Generator, shares: np.ndarray, depth: int, n: int
) -> tuple[sp.csr_matrix, np.ndarray]:
    kinds = rng.integers(len(TYPES), size=n)
    counts = np.stack([rng.multinomial(rng.poisson(depth) + 1, shares[:, kind]) for kind in kinds])
    return sp.csr_matrix(counts.astype(np.float32)), np.array(TYPES)[kinds]


def made(counts: sp.csr_matrix, obs: pd.DataFrame) -> ad.AnnData:
    adata = ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=[f"GENE{i}" for i in range(GENES)]))
    adata.var["gene_id"] = ""
    return adata


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A sample whose platform catches genes unevenly, its true types, and atlases with all types and without one."""
    folder, rng = tmp_path_factory.mktemp("labels"), np.random.default_rng(0)
    shares = profiles(rng)
    uneven = shares * np.exp(rng.normal(0, 0.5, (GENES, 1)))
    truth = {}
    for name, depth in (("filtered", 60), ("sparse", 12)):
        counts, truth[name] = drawn(rng, uneven / uneven.sum(axis=0), depth, CELLS)
        write_sample(folder / f"{name}.h5ad", counts)
    known, types = drawn(rng, shares, 600, 500)
    for name, keep in (("atlas", np.ones(500, bool)), ("lacking", types != "Fibroblast")):
        obs = pd.DataFrame(
            {"cell_type": types[keep], "donor": "d"}, index=[f"a{i}" for i in np.flatnonzero(keep)]
        )
        atlas = made(known[keep], obs)
        atlas.var["median_nonzero"] = 1.0
        atlas.uns["tissuemake"] = {"reference": name, "organism": "human"}
        write_anndata(atlas, folder / f"{name}.h5ad", REFERENCE)
    return folder, pd.DataFrame(truth, index=[f"cell-{i}" for i in range(CELLS)])


def write_sample(path, counts: sp.csr_matrix) -> None:
    """These cells, and five without a molecule."""
    counts = sp.vstack([counts, sp.csr_matrix((5, GENES), dtype=np.float32)]).tocsr()
    barcodes = [f"cell-{i}" for i in range(CELLS + 5)]
    obs = pd.DataFrame({"in_tissue": True, "total_counts": 1.0, "n_genes_by_counts": 1}, index=barcodes)
    cells = made(counts, obs)
    cells.layers["counts"] = counts
    cells.obsm["spatial"] = np.zeros((CELLS + 5, 2))
    cells.uns |= {"spatial": {}, "dropped": pd.DataFrame(), "tissuemake": {"sample": "tiny"}}
    write_anndata(cells, path, FILTERED)


def labelled(folder, atlas="atlas", sample="filtered", **options) -> pd.DataFrame:
    out = folder / "out.parquet"
    label_cells(folder / f"{sample}.h5ad", out, reference=folder / f"{atlas}.h5ad", **options)
    return read_table(folder / "out.parquet", CELL_TYPES)


def test_cells_get_their_types_and_the_poor_none(files):
    folder, truth = files[0], files[1]["filtered"]
    table = labelled(folder)
    assert (table.loc[truth.index, "cell_type"] == truth).mean() > 0.95
    assert (table["cell_type"].iloc[CELLS:] == UNKNOWN).all() and (
        table["confidence"].iloc[CELLS:] == 0
    ).all()
    assert table.attrs["tissuemake"]["cells_with_few_molecules"] == 5
    terms = table.groupby("cell_type")["cell_ontology_id"].unique().map(list).to_dict()
    assert (
        terms["T cell"] == ["CL:0000084"] and terms["Luminal epithelial"] == [""] and terms[UNKNOWN] == [""]
    )


def test_a_type_that_the_atlas_lacks_is_unknown(files):
    folder, truth = files[0], files[1]["filtered"]
    table = labelled(folder, "lacking").loc[truth.index]
    foreign = truth == "Fibroblast"
    called = table["cell_type"] == UNKNOWN
    assert called[foreign].mean() > 0.8 and called[~foreign].mean() < 0.1


def test_confidence_is_how_often_a_label_is_right(files):
    folder, truth = files[0], files[1]["sparse"]
    table = labelled(folder, sample="sparse", sure=0.0).loc[truth.index]
    right = table["cell_type"] == truth
    assert abs(table["confidence"].mean() - right.mean()) < 0.08
    assert table["confidence"][right].mean() > table["confidence"][~right].mean() + 0.1


def test_no_label_is_taken_below_what_is_asked(files):
    folder, _ = files
    table = labelled(folder, sure=0.9)
    assert ((table["confidence"] >= 0.9) == (table["cell_type"] != UNKNOWN)).all()


def test_the_same_seed_gives_the_same_table(files):
    folder, _ = files
    pd.testing.assert_frame_equal(labelled(folder, seed=3), labelled(folder, seed=3))


def test_the_largest_share_of_a_composition_is_a_label_too(files, tmp_path):
    folder, _ = files
    barcodes = [f"cell-{i}" for i in range(CELLS + 5)]
    shares = pd.DataFrame(0.1, index=barcodes, columns=["T cell", "B cell", UNKNOWN])
    shares["T cell"] = 0.8
    shares.iloc[0] = [0.2, 0.1, 0.7]
    shares.iloc[1] = [0.4, 0.35, 0.25]
    write_table(shares, tmp_path / "sparank.parquet", PROPORTIONS)
    given = {"sparank": tmp_path / "sparank.parquet"}
    table = labelled(folder, methods=("sparank", "transfer"), proportions=given)
    assert list(table["cell_type"].iloc[:3]) == [UNKNOWN, UNKNOWN, "T cell"]
    assert set(table["method"]) == {"sparank"} and "cell_type_transfer" in table
    label_cells(
        folder / "filtered.h5ad", tmp_path / "out.parquet", methods=("transfer", "sparank"), proportions=given
    )
    alone = read_table(tmp_path / "out.parquet", CELL_TYPES)
    assert "cell_type_transfer" not in alone and set(alone["method"]) == {"sparank"}


def test_nothing_to_label_by_is_said(files, tmp_path):
    folder, _ = files
    with pytest.raises(InputError, match="'tiny'") as caught:
        label_cells(folder / "filtered.h5ad", tmp_path / "out.parquet")
    assert caught.value.code == "no_cell_types"


def test_genes_that_a_platform_catches_badly_weigh_less():
    rng = np.random.default_rng(1)
    shares = profiles(rng)
    counts, _ = drawn(rng, shares, 80, 500)
    even = transfer.fit(counts, shares).unevenness
    caught = shares * np.exp(rng.normal(0, 1.0, (GENES, 1)))
    counts, _ = drawn(rng, caught / caught.sum(axis=0), 80, 500)
    assert transfer.fit(counts, shares).unevenness > 0.6 > 0.3 > even


def test_made_cells_have_the_depth_of_the_sample():
    rng = np.random.default_rng(2)
    cells, _ = drawn(rng, profiles(rng), 900, 300)
    made_cells = confidence.made_alike(cells, np.array([20.0, 40.0]), 0.5, rng)
    assert transfer.molecules(made_cells).mean() == pytest.approx(30, rel=0.1)
