"""Spots made of cells hold what the cells held, and a method that knows is told from one that does not."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tissuemake.contracts import (
    CELL_TYPES,
    EVALUATION,
    FILTERED,
    PROPORTIONS,
    UNKNOWN,
    read_anndata,
    read_table,
    write_anndata,
    write_table,
)
from tissuemake.errors import InputError
from tissuemake.evaluation.pseudo_spot_scores import read_name, score_pseudo_spots, spots_name
from tissuemake.evaluation.pseudo_spots import assign, kept_genes, make_pseudo_spots
from tissuemake.reporting.pseudo_spots import pseudo_spots_section, verdict, verdicts

CELLS, GENES, MPP = 1500, 40, 0.5


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Cells over 1 mm², in pixels of half a µm, of two types that stand left and right."""
    folder, rng = tmp_path_factory.mktemp("cells"), np.random.default_rng(0)
    places = rng.uniform(0, 1000, (CELLS, 2))
    types = np.where(places[:, 0] + rng.normal(0, 500, CELLS) > 500, "T cell", "B cell")
    counts = sp.csr_matrix(rng.poisson(1.0, (CELLS, GENES)).astype(np.float32))
    names = [f"c{i}" for i in range(CELLS)]
    obs = pd.DataFrame({"in_tissue": True, "total_counts": 40.0, "n_genes_by_counts": 25}, index=names)
    adata = ad.AnnData(
        counts, obs=obs, var=pd.DataFrame({"gene_id": ""}, index=[f"G{i}" for i in range(GENES)])
    )
    adata.layers["counts"], adata.obsm["spatial"] = counts, places / MPP
    scales = {"microns_per_pixel": MPP, "spot_diameter_fullres": 20.0}
    adata.uns |= {
        "spatial": {"s": {"images": {}, "scalefactors": scales, "metadata": {}}},
        "tissuemake": {"sample": "s", "observation": "cell"},
        "dropped": pd.DataFrame(),
    }
    write_anndata(adata, folder / "filtered.h5ad", FILTERED)
    pd.get_dummies(pd.Series(types, names)).astype(int).to_csv(
        folder / "truth.tsv", sep="\t", index_label="barcode"
    )
    return folder


def made(cells, tmp_path, **options):
    paths = tmp_path / "spots.h5ad", tmp_path / "truth.tsv"
    options = {"truth": str(cells / "truth.tsv"), **options}
    make_pseudo_spots(cells / "filtered.h5ad", *paths, **options)
    return read_anndata(paths[0], FILTERED), pd.read_csv(paths[1], sep="\t", index_col=0)


@pytest.mark.parametrize("lattice", ["hexagonal", "square"])
def test_spots_hold_their_cells_and_nothing_else(cells, tmp_path, lattice):
    spots, truth = made(cells, tmp_path, lattice=lattice)
    single = read_anndata(cells / "filtered.h5ad", FILTERED)
    centre, radius = spots.obsm["spatial"][0], 27.5
    away = single.obsm["spatial"] * MPP - centre
    inside = np.hypot(*away.T) <= radius if lattice == "hexagonal" else (np.abs(away) <= radius).all(axis=1)
    np.testing.assert_array_equal(
        spots.layers["counts"][0].toarray().ravel(),
        np.asarray(single.layers["counts"][inside].sum(axis=0)).ravel(),
    )
    assert truth.iloc[0].sum() == inside.sum() == spots.obs["cells"].iloc[0]
    if lattice == "square":
        assert truth.to_numpy().sum() == CELLS


def test_hexagonal_spots_stand_a_hundred_micrometres_apart_and_touch_no_cell_twice():
    places = np.random.default_rng(1).uniform(0, 800, (4000, 2))
    member, centres = assign(places, "hexagonal")
    assert np.asarray(member.sum(axis=0)).max() == 1
    apart = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1))
    assert apart[apart > 1].min() == pytest.approx(100, abs=0.1)
    # Spots cover a quarter of the tissue: pi * 27.5² of 100 * 86.6 µm².
    assert member.sum() / len(places) == pytest.approx(np.pi * 27.5**2 / 8660, rel=0.1)


def test_part_of_the_panel_is_hidden_and_smaller_parts_lie_in_larger_ones(cells, tmp_path):
    half, _ = made(cells, tmp_path, panel=0.5, seed=3)
    quarter, _ = made(cells, tmp_path, panel=0.25, seed=3)
    assert (half.n_vars, quarter.n_vars) == (20, 10)
    assert set(quarter.var_names) < set(half.var_names)
    with pytest.raises(InputError, match="10% of its 40 genes are 4") as caught:
        kept_genes(GENES, 0.1, 0)
    assert caught.value.code == "too_few_genes"


def test_labels_stand_for_a_truth_that_is_not_given(cells, tmp_path):
    types = pd.read_csv(cells / "truth.tsv", sep="\t", index_col=0).idxmax(axis=1)
    types.iloc[:300] = UNKNOWN
    table = pd.DataFrame({"cell_type": types, "confidence": 1.0, "method": "transfer"})
    write_table(
        table.assign(cell_ontology_id="", cell_ontology_name=""), tmp_path / "labels.parquet", CELL_TYPES
    )
    spots, truth = made(cells, tmp_path, truth="", cell_types=tmp_path / "labels.parquet")
    assert spots.uns["tissuemake"]["pseudo_spots"]["truth"] == "labels" and UNKNOWN in truth
    with pytest.raises(InputError, match="'s'") as caught:
        made(cells, tmp_path, truth="")
    assert caught.value.code == "no_cell_types"


def test_spots_are_not_made_of_spots(cells, tmp_path):
    adata = read_anndata(cells / "filtered.h5ad", FILTERED)
    adata.uns["tissuemake"]["observation"] = "bin"
    write_anndata(adata, tmp_path / "bins.h5ad", FILTERED)
    with pytest.raises(InputError, match="bins") as caught:
        make_pseudo_spots(
            tmp_path / "bins.h5ad", tmp_path / "a.h5ad", tmp_path / "t.tsv", truth=str(cells / "truth.tsv")
        )
    assert caught.value.code == "no_cells"


def scored(cells, tmp_path) -> pd.DataFrame:
    """A method that knows, a poorer one, and one that says the same everywhere."""
    _, truth = made(cells, tmp_path)
    shares, rng = truth.div(truth.sum(axis=1), axis=0), np.random.default_rng(0)
    blurred = np.clip(shares + rng.normal(0, 0.1, shares.shape), 0.01, None)
    poor = 0.2 * shares + 0.8 * rng.dirichlet([0.1, 0.1], len(shares))
    answers = {"good": blurred.div(blurred.sum(axis=1), axis=0), "poor": poor}
    answers["flat"] = shares * 0 + 0.5
    paths = {}
    for name, table in answers.items():
        paths[name] = tmp_path / f"{name}.parquet"
        write_table(table, paths[name], PROPORTIONS, {"method": name, "seconds": 1.0})
    score_pseudo_spots(
        "s", {"hexagonal-100": paths}, {"hexagonal-100": tmp_path / "truth.tsv"}, tmp_path / "scores.parquet"
    )
    return read_table(tmp_path / "scores.parquet", EVALUATION)


def test_the_method_that_knows_is_to_be_trusted(cells, tmp_path):
    table = scored(cells, tmp_path)
    found = verdict(table)
    assert found["method"] == "good" and found["useful"] and found["level"] == []
    assert found["low"] < found["pearson"] < found["high"]
    assert set(table.loc[table["baseline"], "method"]) == {"uniform", "mean_composition"}
    assert verdicts(table)[0].startswith("hexagonal, 100% of the panel: trust good")
    section = pseudo_spots_section(table)
    rows = section["parts"][0]["rows"]
    assert [row["method"] for row in rows][:3] == ["good", "poor", "flat"] and rows[0]["cells"][0]["best"]
    assert not section["labels"]


def test_a_method_no_better_than_the_mean_is_said_to_be(cells, tmp_path):
    table = scored(cells, tmp_path)
    rest = table[table["method"] != "good"]
    assert not verdict(rest)["useful"]
    assert verdicts(rest)[0].startswith("hexagonal, 100% of the panel: trust none: the best is poor")


def test_names_of_spots_hold_lattice_and_panel():
    assert spots_name("square", 0.25) == "square-25" and read_name("square-25") == ("square", 0.25)
