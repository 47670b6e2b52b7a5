"""Signals between cells: planted where the truth says, in one direction, and off unless asked for."""

import numpy as np
import pandas as pd
import pytest

from tissuemake.errors import InputError
from tissuemake.simulate import cell_types, signalling
from tissuemake.simulate.expression import build_biology, donor_effect, draw_molecules, programme_states
from tissuemake.simulate.gene_catalogue import gene_catalogue
from tissuemake.simulate.tissue import place_cells, stream
from tissuemake.simulate.vendor_folders import cell_table, simulate_cells, simulate_tissue


@pytest.fixture(scope="module")
def signalled():
    return simulate_cells(seed=1, spots=120, n_genes=900, signals=6)


def test_a_tissue_without_signals_stays_as_it_was():
    """Recorded numbers of other benchmarks rest on these streams, and on nothing else being drawn."""
    section, cells = simulate_cells(seed=3, spots=40, n_genes=500)
    biology, where = build_biology(3, 500), place_cells(section, 3)
    drawn = draw_molecules(
        biology,
        where["cell_type"].to_numpy(),
        programme_states(section, where, 3),
        donor_effect(3, "section_donor", biology),
        stream(3, "molecules"),
    )
    assert (drawn != cells.X).nnz == 0 and not cells.uns


def test_only_genes_that_take_part_change(signalled):
    _, cells = signalled
    _, plain = simulate_cells(seed=1, spots=120, n_genes=900)
    changed = np.asarray((cells.X != plain.X).sum(axis=0)).ravel() > 0
    taking = signalling.plan_signals(build_biology(1, 900), 1, 6).genes
    assert set(np.flatnonzero(changed)) == set(taking) and len(set(taking)) == len(taking)
    assert (gene_catalogue()["role"].reindex(cells.var_names[taking]) == "").all()


def test_receivers_near_senders_answer_and_nobody_else_does(signalled):
    """The ligand around a receiver tells its target; what is not planted, or receives nothing, is not told."""
    section, cells = signalled
    table, where = cells.uns["signals"], cell_table(cells)
    lineage = cells.obs["cell_type"].map(cell_types.MAJOR).to_numpy()
    total = np.asarray(cells.X.sum(axis=1)).ravel()
    told = []
    for row in table[table["target"] != table["receptor"]].itertuples():
        ligand = cells[:, row.ligand].X.toarray().ravel()
        exposure = signalling.exposure_to(ligand, section, where)
        share = cells[:, row.target].X.toarray().ravel() / total
        for receives in (True, False):
            chosen = (lineage == row.receiver) == receives
            told.append((row.planted and receives, _within_types(share, exposure, cells, chosen)))
    truth, r = np.array([one[0] for one in told]), np.array([one[1] for one in told])
    assert np.median(r[truth]) > 0.1
    assert abs(np.median(r[~truth])) < 0.02 and np.median(r[truth]) > 4 * np.abs(r[~truth]).mean()


def _within_types(share, exposure, cells, chosen):
    """Correlation over the `chosen` cells, types and zones apart."""
    frame = pd.DataFrame({"share": share, "exposure": exposure})[chosen]
    groups = [cells.obs[name].astype(str).to_numpy()[chosen] for name in ("cell_type", "zone")]
    return np.corrcoef((frame - frame.groupby(groups).transform("mean")).to_numpy().T)[0, 1]


def test_exposure_is_to_others_and_ends_with_distance(signalled):
    section, cells = signalled
    where = cell_table(cells)
    alone = np.zeros(len(where))
    alone[0] = 50.0
    away = np.hypot(where["x"] - where["x"][0], where["y"] - where["y"][0]).to_numpy()
    exposure = signalling.exposure_to(alone, section, where)
    assert exposure[0] < 0.05 * exposure[(away > 10) & (away < 50)].mean(), "not to its own ligand"
    assert exposure[away > 5 * signalling.REACH_UM].max() < 1e-3 * exposure.max()
    near, far = (exposure[np.abs(away - reach) < 15].mean() for reach in (20, 160))
    assert near / far == pytest.approx(np.exp(0.5 * (160**2 - 20**2) / signalling.REACH_UM**2), rel=0.3)


def test_planted_and_decoy_are_alike_but_for_the_answer():
    plan = signalling.plan_signals(build_biology(1, 1500), 1, 12)
    planted = [signal for signal in plan.signals if signal.planted]
    assert len(planted) == 12 and len(plan.signals) == 24
    assert (
        np.bincount([one.state for one in planted]).tolist()
        == np.bincount([one.state for one in plan.signals if not one.planted]).tolist()
    )
    known = {tuple(pair) for pair in signalling.known_pairs().to_numpy()}
    names = gene_catalogue().index
    assert {(names[one.ligand], names[one.receptor]) for one in plan.signals} <= known
    assert not signalling.known_pairs().stack().duplicated().any()


def test_too_many_signals_are_refused():
    with pytest.raises(InputError, match="signals is 40; 900 genes have room for") as error:
        simulate_cells(seed=1, spots=30, n_genes=900, signals=40)
    assert error.value.code == "bad_signals"


@pytest.mark.parametrize("signals", [0, 2])
def test_truth_names_the_signals_when_there_are_any(tmp_path, monkeypatch, signals):
    monkeypatch.setattr("tissuemake.simulate.vendor_folders._write_section", lambda *args: None)
    simulate_tissue(tmp_path, seed=1, spots=16, n_genes=700, atlas_cells=30, signals=signals)
    path = tmp_path / "truth/signals.tsv"
    assert path.exists() == bool(signals)
    if signals:
        table = pd.read_csv(path, sep="\t")
        assert table.groupby("planted")["ligand"].nunique().tolist() == [2, 2]
        assert (table.loc[~table["planted"], "gain"] == 0).all() and (
            table["gain"][table["planted"]] > 0
        ).all()
