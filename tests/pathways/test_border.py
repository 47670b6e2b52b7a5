"""Profiles of pathways across a border: signed distances, steps, and every way to say who is inside."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from tissuemake.contracts import FILTERED, PATHWAY_BORDER, PATHWAYS, read_table, write_anndata, write_table
from tissuemake.errors import InputError
from tissuemake.pathways.border import border_profile, measure_border, pitch, signed_distance
from tissuemake.pathways.sides import read_sides

PITCH = 100.0
SIDE = 16


@pytest.fixture
def lattice():
    """A square lattice, its left half inside."""
    x, y = (axis.ravel() * PITCH for axis in np.meshgrid(np.arange(SIDE), np.arange(SIDE)))
    return np.column_stack([x, y]), x < SIDE / 2 * PITCH


def test_distance_is_signed_and_the_border_lies_between_neighbours(lattice):
    positions, inside = lattice
    distance = signed_distance(positions, inside)
    assert pitch(positions) == PITCH
    # Neither side owns the border: the spots nearest to it stand half a pitch away on both.
    assert distance == pytest.approx(positions[:, 0] - (SIDE / 2 - 0.5) * PITCH)
    assert ((distance < 0) == inside).all()


def test_a_lone_spot_makes_no_border(lattice):
    positions, inside = lattice
    far = np.flatnonzero((positions[:, 0] == 1400) & (positions[:, 1] == 700))
    wrong = inside.copy()
    wrong[far] = True
    distance = signed_distance(positions, wrong)
    assert np.isnan(distance[far]).all()
    others = np.delete(np.arange(len(positions)), far)
    assert distance[others] == pytest.approx(signed_distance(positions, inside)[others])


def test_the_profile_is_the_mean_of_each_step(lattice):
    positions, inside = lattice
    distance = signed_distance(positions, inside)
    rng = np.random.default_rng(0)
    peak = np.exp(-((distance - 150) ** 2) / 2 / 100**2)
    scores = pd.DataFrame(
        {"PEAK": peak + rng.normal(0, 0.1, len(peak)), "FLAT": rng.normal(0, 0.1, len(peak))}
    )
    table = border_profile(positions, distance, scores, reach_um=500)
    own = table[table["pathway"] == "PEAK"].set_index("from_um")
    assert list(own.index) == [-500, -400, -300, -200, -100, 0, 100, 200, 300, 400]
    assert (own["to_um"] - own.index == PITCH).all() and (own["spots"] == SIDE).all()
    assert own["distance_um"].tolist() == pytest.approx((own.index + 50).tolist())
    assert own["mean"].idxmax() == 100 and own.loc[100, "mean"] == pytest.approx(1, abs=0.1)
    by_hand = scores["PEAK"][(distance > 200) & (distance < 300)].mean()
    assert own.loc[200, "mean"] == pytest.approx(by_hand)
    assert ((table["low"] <= table["mean"]) & (table["mean"] <= table["high"])).all()
    flat = table[table["pathway"] == "FLAT"]
    assert ((flat["low"] < 0.05) & (flat["high"] > -0.05)).all()
    assert own.loc[-500, "high"] < own.loc[100, "low"]


def test_neighbours_that_resemble_each_other_widen_the_interval(lattice):
    """Of a value that all spots of a region share there are as many as regions, not as spots."""
    positions, inside = lattice
    distance = signed_distance(positions, inside)
    rng = np.random.default_rng(0)
    region = rng.normal(size=4)[(positions[:, 1] // 400).astype(int)]
    alone = rng.permutation(region)
    table = border_profile(positions, distance, pd.DataFrame({"REGION": region, "ALONE": alone}))
    width = (table["high"] - table["low"]).groupby(table["pathway"]).mean()
    assert width["REGION"] > 1.4 * width["ALONE"]


def test_one_side_alone_is_no_border(lattice):
    positions, inside = lattice
    with pytest.raises(InputError, match="no 3 neighbours lie inside") as error:
        signed_distance(positions, np.zeros(len(inside), bool))
    assert error.value.code == "no_border"


@pytest.fixture
def files(tmp_path, lattice):
    """A filtered section and scores of it."""
    positions, inside = lattice
    names = [f"s{i}" for i in range(len(positions))]
    import scipy.sparse as sp

    counts = sp.csr_matrix(np.ones((len(names), 2), np.float32))
    adata = ad.AnnData(
        counts, obs=pd.DataFrame(index=names), var=pd.DataFrame({"gene_id": ""}, index=["A", "B"])
    )
    adata.layers["counts"] = counts
    adata.obs = adata.obs.assign(in_tissue=True, total_counts=2.0, n_genes_by_counts=2)
    adata.obs["region"] = np.where(inside, "cancer", "stroma")
    adata.obsm["spatial"] = positions * 2  # half a µm per pixel
    adata.uns = {
        "tissuemake": {"sample": "a"},
        "spatial": {"a": {"images": {}, "scalefactors": {"microns_per_pixel": 0.5}}},
        "dropped": pd.DataFrame({"reason": []}),
    }
    write_anndata(adata, tmp_path / "filtered.h5ad", FILTERED)
    scores = pd.DataFrame({"P": inside.astype("float32")}, index=names)
    write_table(scores, tmp_path / "scores.parquet", PATHWAYS)
    return tmp_path, adata, inside


def test_labels_and_predictions_say_who_is_inside(files):
    folder, adata, inside = files
    region = adata.obs["region"]
    region.rename("label").to_csv(folder / "labels.tsv", sep="\t", index_label="barcode")
    pd.DataFrame({"probability": np.where(inside, 0.9, 0.2)}, index=adata.obs_names).to_parquet(
        folder / "tumor.parquet"
    )
    pd.DataFrame({"label": region.astype(str), "probability": 1.0}).to_parquet(folder / "annotation.parquet")
    pd.DataFrame({"pca": "1", "spatial": np.where(inside, "2", "3")}, index=adata.obs_names).to_parquet(
        folder / "domains.parquet"
    )
    for border, labels in (
        (folder / "labels.tsv", ["cancer"]),
        ("obs:region", ["cancer"]),
        (folder / "tumor.parquet", []),
        (folder / "annotation.parquet", ["cancer"]),
        (folder / "domains.parquet", ["2"]),
        (f"{folder}/domains.parquet#spatial", ["2"]),
    ):
        assert (read_sides(str(border), adata, labels) == inside).all(), border
        output = folder / "border.parquet"
        measure_border(
            folder / "filtered.h5ad", folder / "scores.parquet", str(border), output, inside=labels
        )
        table = read_table(output, PATHWAY_BORDER)
        assert ((table["mean"] == 1) == (table["to_um"] <= 0)).all() and len(table) == 10
        assert table.attrs["tissuemake"]["inside"] == labels


@pytest.mark.parametrize(
    ("border", "inside", "code", "message"),
    [
        ("obs:region", ["tumour"], "unknown_label", "Labels are: cancer, stroma"),
        ("obs:region", [], "unknown_label", "no label was given"),
        ("obs:zone", ["a"], "no_border", "no column 'zone'"),
        ("nowhere.tsv", ["a"], "unreadable_labels", "nowhere.tsv"),
    ],
)
def test_what_cannot_be_a_border_is_refused_by_name(files, border, inside, code, message):
    with pytest.raises(InputError) as error:
        read_sides(border, files[1], inside)
    assert error.value.code == code and message in f"{error.value.message} {error.value.remedy}"


def test_spots_without_a_label_have_no_side(files):
    folder, adata, _ = files
    labels = adata.obs["region"].astype(object).where(np.arange(adata.n_obs) > 40, "undetermined")
    labels.rename("label").to_csv(folder / "some.tsv", sep="\t", index_label="barcode")
    assert len(read_sides(str(folder / "some.tsv"), adata, ["cancer"])) == adata.n_obs - 41


def test_labels_that_only_the_source_has_are_read_there(files):
    folder, adata, inside = files
    adata.obs["layer"] = adata.obs["region"]
    adata.write_h5ad(folder / "source.h5ad")
    bare = adata[:].copy()
    del bare.obs["layer"]
    assert (read_sides("obs:layer", bare, ["cancer"], str(folder / "source.h5ad")) == inside).all()


def test_a_section_without_a_border_ends_no_run(files):
    folder, _, _ = files
    output = folder / "border.parquet"
    paths = folder / "filtered.h5ad", folder / "scores.parquet", "obs:region", output
    with pytest.raises(InputError):
        measure_border(*paths, inside=["in situ"])
    measure_border(*paths, inside=["in situ"], strict=False)
    table = read_table(output, PATHWAY_BORDER)
    assert not len(table) and "no spot is labelled in situ" in table.attrs["tissuemake"]["reason"]
    # One of several labels is enough: not every tumour has all of them.
    measure_border(*paths, inside=["in situ", "cancer"])
    assert len(read_table(output, PATHWAY_BORDER)) == 10
    write_table(pd.DataFrame(index=read_table(folder / "scores.parquet", PATHWAYS).index), paths[1], PATHWAYS)
    measure_border(*paths, inside=["cancer"], strict=False)
    assert "no spot has both" in read_table(output, PATHWAY_BORDER).attrs["tissuemake"]["reason"].lower()
