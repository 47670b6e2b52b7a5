"""Planted pathway programmes: known activities in genes and picture, a known border, and off unless asked for."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from tissuemake.errors import InputError
from tissuemake.simulate import programmes as planting
from tissuemake.simulate.expression import build_biology
from tissuemake.simulate.gene_catalogue import gene_catalogue
from tissuemake.simulate.staining import shape_nuclei
from tissuemake.simulate.truth import activity_truth, write_programmes
from tissuemake.simulate.vendor_folders import cell_table, simulate_cells, simulate_tissue
from tissuemake.simulate.visium import capture_spots

COUNT = 8


@pytest.fixture(scope="module")
def planted():
    return simulate_cells(seed=1, spots=120, zones="infiltrated", n_genes=900, programmes=COUNT)


@pytest.fixture(scope="module")
def plain():
    return simulate_cells(seed=1, spots=120, zones="infiltrated", n_genes=900)


def test_only_members_change_and_they_play_no_other_part(planted, plain):
    cells = planted[1]
    changed = np.asarray((cells.X != plain[1].X).sum(axis=0)).ravel() > 0
    members = planting.member_genes(planting.plan_programmes(build_biology(1, 900), 1, COUNT))
    assert set(np.flatnonzero(changed)) == set(members)
    assert len(set(members)) == len(members) == COUNT * planting.MEMBERS
    assert (gene_catalogue()["role"].reindex(cells.var_names[members]) == "").all()
    assert cells.obs["cell_type"].equals(plain[1].obs["cell_type"])


def test_a_tissue_without_programmes_says_nothing_of_them(plain):
    section, cells = plain
    assert section.activity is None and not cells.uns and list(cells.obsm) == ["spatial"]
    assert list(cell_table(cells)) == ["x", "y", "zone", "cell_type"]


def test_spots_show_the_activity_that_the_truth_states(planted):
    """The mean log share of the members follows the activity under each spot, for every kind of programme."""
    section, cells = planted
    table = cells.uns["programmes"]
    capture = capture_spots(section, cell_table(cells), cells.X, 1, 0.6)
    tissue = capture.spots["in_tissue"] == 1
    truth = activity_truth(section, table["programme"], capture.spots[tissue], 55.0)
    counts = capture.counts[tissue.to_numpy()].toarray()
    logged = pd.DataFrame(np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4), columns=cells.var_names)
    assert set(table["kind"]) == set(planting.KINDS) and table["visible"].sum() == COUNT - 1
    for row in table.itertuples():
        measured = (
            logged[row.genes.split()].apply(lambda gene: (gene - gene.mean()) / gene.std()).mean(axis=1)
        )
        assert np.corrcoef(measured, truth[row.programme])[0, 1] > 0.75, row.programme
    # A field of its own knows next to nothing of zones.
    zone = section.zone_at(capture.spots["x"], capture.spots["y"])[tissue]
    hidden = truth[table["programme"][table["kind"] == "hidden"].iloc[0]]
    assert hidden.groupby(zone).transform("mean").var() / hidden.var() < 0.25


def test_distance_is_signed_and_programmes_of_a_border_follow_it(planted):
    section, cells = planted
    distance = planting.border_distance(section)
    tissue = section.zone >= 0
    assert (distance[section.zone == planting.BORDER_ZONE] < 0).all()
    assert (distance[tissue & (section.zone != planting.BORDER_ZONE)] > 0).all()
    # Neighbouring raster cells on both sides lie one raster step apart.
    assert np.abs(distance[tissue]).min() == pytest.approx(planting.GRID_UM / 2)
    activity = dict(zip(cells.uns["programmes"]["kind"], section.activity, strict=True))
    bins = pd.cut(distance[tissue], np.arange(-300, 700, 50)).codes
    profile = {
        kind: pd.Series(activity[kind][tissue]).groupby(bins).mean().drop(-1, errors="ignore")
        for kind in planting.BORDER_KINDS
    }
    middle = {code: -300 + 50 * code + 25 for code in profile["front"].index}
    assert abs(middle[profile["front"].idxmax()]) <= 25
    assert profile["inside"].is_monotonic_decreasing
    assert abs(middle[profile["outside"].idxmax()] - planting.AWAY_UM) <= 50


def test_nuclei_show_what_is_visible_and_nothing_of_what_is_hidden(planted, plain):
    section, cells = planted
    nuclei = shape_nuclei(section, cell_table(cells), 1)
    before = shape_nuclei(plain[0], cell_table(plain[1]), 1)
    darker = np.log(nuclei["density"] / before["density"]).to_numpy()
    larger = np.log(nuclei["a"] / before["a"]).to_numpy()
    activity = pd.DataFrame(cells.obsm["programmes"], columns=cells.uns["programmes"]["kind"])
    shown = activity["nuclei"].to_numpy()
    assert np.corrcoef(darker, shown[:, 0])[0, 1] > 0.99 and np.corrcoef(larger, shown[:, 1])[0, 1] > 0.99
    assert max(abs(np.corrcoef(one, activity["hidden"])[0, 1]) for one in (darker, larger)) < 0.15


def test_truth_is_written_beside_the_folders_when_there_is_any(tmp_path, planted):
    write_programmes(tmp_path, planted[1].uns["programmes"])
    lines = [line.split("\t") for line in (tmp_path / "programmes.gmt").read_text().splitlines()]
    assert len(lines) == COUNT and all(len(line) == 2 + planting.MEMBERS for line in lines)
    assert lines[0][:2] == ["PLANTED_1_FRONT", "planted:front"]
    assert set(lines[0][2:]) <= set(planted[1].var_names)
    kinds = pd.read_csv(tmp_path / "programmes.tsv", sep="\t")
    assert list(kinds["programme"]) == [line[0] for line in lines]


def test_programmes_and_signals_share_no_gene():
    _, cells = simulate_cells(seed=1, spots=20, n_genes=1200, signals=2, programmes=2)
    signals, programmes = cells.uns["signals"], cells.uns["programmes"]
    members = set(" ".join(programmes["genes"]).split())
    assert not members & set(signals[["ligand", "target"]].to_numpy().ravel())


def test_too_many_programmes_are_refused():
    with pytest.raises(InputError, match="programmes is 90; 900 genes have room for 23") as error:
        simulate_cells(seed=1, spots=20, n_genes=900, programmes=90)
    assert error.value.code == "bad_programmes"


def test_every_platform_has_its_truth(tmp_path):
    simulate_tissue(tmp_path, seed=1, spots=16, n_genes=700, atlas_cells=30, mpp=2.0, programmes=2)
    truth = tmp_path / "truth"
    assert (truth / "programmes.gmt").is_file()
    for name in ("visium", "st", "visium_hd_8um", "xenium"):
        zones = pd.read_csv(truth / f"{name}_zones.tsv", sep="\t", index_col=0)
        activity = pd.read_csv(truth / f"{name}_programmes.tsv", sep="\t", index_col=0)
        border = pd.read_csv(truth / f"{name}_border.tsv", sep="\t", index_col=0)["distance_um"]
        assert list(activity.index) == list(zones.index) == list(border.index)
        assert list(activity) == ["PLANTED_1_FRONT", "PLANTED_2_ZONE"] and activity.notna().all().all()
        assert ((border < 0) == (zones["label"] == "epithelium")).all()
    cells = ad.read_h5ad(truth / "cells.h5ad")
    assert cells.obsm["programmes"].shape == (cells.n_obs, 2)
