"""Fine types sum to coarse ones: nothing is lost, nothing claims to be surer than it is."""

import numpy as np
import pandas as pd
import pytest

from tissuemake.contracts import PROPORTIONS, read_table, write_table
from tissuemake.errors import InputError
from tissuemake.hierarchy import at_level, coarser, hierarchy_of, roll_up

FINE = ["CD4", "CD8", "B", "basal", "luminal"]
PARENTS = {"CD4": "T", "CD8": "T", "B": "B", "basal": "epithelium", "luminal": "epithelium"}
HIERARCHY = {
    "compartment": {name: "immune" if name in ("CD4", "CD8", "B") else "epithelium" for name in FINE},
    "family": PARENTS,
}


@pytest.fixture
def table():
    """Thirty spots with all that a table may hold, written and read."""
    rng = np.random.default_rng(0)
    names = [*FINE, "unknown"]
    frame = pd.DataFrame(rng.dirichlet(np.ones(6), 30), index=[f"s{i}" for i in range(30)], columns=names)
    for name in names:
        frame[f"{name}_sd"] = rng.uniform(0.01, 0.2, 30)
    frame["gate"] = rng.uniform(0, 1, 30)
    frame.loc["s0", "gate"] = np.nan
    frame.attrs["tissuemake"] = {"method": "sparank", "seed": 3, "hierarchy": HIERARCHY}
    return frame


def test_shares_sum_and_what_is_no_type_stays(table, tmp_path):
    rolled = roll_up(table, PARENTS)
    assert list(rolled) == [
        "T",
        "B",
        "epithelium",
        "unknown",
        "T_sd",
        "B_sd",
        "epithelium_sd",
        "unknown_sd",
        "gate",
    ]
    np.testing.assert_allclose(rolled["T"], table["CD4"] + table["CD8"])
    np.testing.assert_allclose(rolled[["T", "B", "epithelium", "unknown"]].sum(axis=1), 1)
    for name in ("unknown", "unknown_sd", "gate"):
        pd.testing.assert_series_equal(rolled[name], table[name])
    assert rolled.attrs == table.attrs
    write_table(rolled, tmp_path / "p.parquet", PROPORTIONS)


def test_a_sum_is_as_unsure_as_its_parts_together(table):
    rolled = roll_up(table, PARENTS)
    np.testing.assert_allclose(rolled["T_sd"], table["CD4_sd"] + table["CD8_sd"])
    np.testing.assert_allclose(rolled["B_sd"], table["B_sd"])
    partly = roll_up(table.drop(columns="CD8_sd"), PARENTS)
    assert "T_sd" not in partly and "B_sd" in partly


@pytest.mark.parametrize("together", [-0.9, 0.0, 0.9])
def test_a_sum_is_never_surer_than_stated_however_errors_correlate(together):
    drawn = np.random.default_rng(0).multivariate_normal([0.5, 0.5], [[1, together], [together, 1]], 20_000)
    stated = pd.DataFrame(drawn, columns=["CD4", "CD8"]).assign(CD4_sd=1.0, CD8_sd=1.0)
    rolled = roll_up(stated, PARENTS)
    assert rolled["T_sd"].iloc[0] >= rolled["T"].std()


def test_a_type_without_parent_is_named(table):
    with pytest.raises(InputError) as caught:
        roll_up(table, {name: parent for name, parent in PARENTS.items() if name != "basal"})
    assert caught.value.code == "type_without_parent"
    assert "basal" in caught.value.message and "luminal" not in caught.value.message


def test_a_parent_cannot_bear_the_name_of_another_column(table):
    with pytest.raises(InputError) as caught:
        roll_up(table, {**PARENTS, "B": "gate"})
    assert caught.value.code == "reserved_type"


def test_a_spot_without_an_answer_gets_none(table):
    table.loc["s1", :] = np.nan
    rolled = roll_up(table, PARENTS)
    assert rolled.loc["s1"].isna().all() and rolled.drop(index=["s0", "s1"]).notna().all(axis=None)


def test_levels_travel_with_the_table(table, tmp_path):
    write_table(table, tmp_path / "p.parquet", PROPORTIONS, table.attrs["tissuemake"])
    levels = coarser(read_table(tmp_path / "p.parquet", PROPORTIONS))
    assert list(levels) == ["compartment", "family"]
    assert levels["family"].attrs["tissuemake"] == {"method": "sparank", "seed": 3, "level": "family"}
    np.testing.assert_allclose(levels["compartment"]["immune"], table[["CD4", "CD8", "B"]].sum(axis=1))


def test_a_level_that_is_not_there_is_answered_with_those_that_are(table):
    with pytest.raises(InputError, match="compartment, family") as caught:
        at_level(table, "famly")
    assert caught.value.code == "unknown_level"
    table.attrs = {}
    assert coarser(table) == {}
    with pytest.raises(InputError, match="coarse>fine"):
        at_level(table, "family")


def test_a_reference_of_one_label_column_has_no_levels():
    assert hierarchy_of({}) == {}
    assert hierarchy_of({"hierarchy": pd.DataFrame(index=FINE)}) == {}
    assert hierarchy_of({"hierarchy": pd.DataFrame(HIERARCHY)}) == HIERARCHY
