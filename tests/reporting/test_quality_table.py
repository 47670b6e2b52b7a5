"""The table of a run's quality: what it says, and that another run reads it as history."""

import numpy as np
import pandas as pd
import pytest

from reporting.made_up_cohort import made_up_quality
from tissuemake import contracts
from tissuemake.configuration import check_history
from tissuemake.errors import InputError
from tissuemake.reporting.quality_table import (
    COLUMNS,
    NUMBERS,
    as_table,
    quality_row,
    read_history,
    write_quality,
)


def test_a_row_says_what_the_files_say(toy):
    adata = contracts.read_annotations(toy.filtered, contracts.FILTERED)
    facts = {
        "facts": {"software": "SR 3", "slide": "of the files", "run_start": "2026-01-01", "fingerprint": "ab"}
    }
    row = quality_row("a", {"assay": "visium", "slide": "of the sheet"}, facts, "warn", adata=adata)
    assert set(row) == set(COLUMNS)
    assert (row["slide"], row["software"], row["run_start"]) == ("of the sheet", "SR 3", "2026-01-01")
    # Two of its three dropped spots lay on tissue.
    assert (row["kept"], row["in_tissue"], row["pct_dropped"]) == (60, 62, 100 * 2 / 62)
    assert row["median_counts"] == adata.obs["total_counts"].median() and np.isnan(row["pct_control"])
    assert quality_row("a", {"assay": "xenium"}, facts, "pass")["slide"] == "of the files"
    groups = [
        quality_row("a", {"assay": "visium_hd", "bin_um": size}, {}, "pass")["group"]
        for size in ("8", "segmented")
    ]
    assert groups == ["visium_hd 8 µm", "visium_hd segmented"]


def test_the_table_comes_back_as_it_was_written(tmp_path):
    table = as_table(made_up_quality(40))
    table.loc[0, "tissue"] = 'breast\t"left"\nupper'
    write_quality(table, tmp_path / "quality.tsv")
    assert len((tmp_path / "quality.tsv").read_text().splitlines()) == 41
    found = read_history([tmp_path / "quality.tsv"])
    assert found["tissue"][0] == 'breast "left" upper'
    for name in COLUMNS:
        if name in NUMBERS:
            np.testing.assert_allclose(found[name], table[name], rtol=1e-5)
        elif name != "tissue":
            assert list(found[name]) == list(table[name]), name


def test_the_last_table_has_the_last_word_on_a_sample(tmp_path):
    table = as_table(made_up_quality(10))
    for name, share in (("old", 1.0), ("new", 2.0)):
        write_quality(table.assign(median_counts=share), tmp_path / f"{name}.tsv")
    found = read_history([tmp_path / "old.tsv", tmp_path / "new.tsv"])
    assert len(found) == 10 and set(found["median_counts"]) == {2.0}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("sample\tgroup\na\tvisium\n", "bad_history"),
        (b"\xff\xfe\x00", "unreadable_history"),
        (None, "missing_history"),
    ],
)
def test_a_history_that_is_none_is_named(tmp_path, text, code):
    path = tmp_path / "last week.tsv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as raised:
        read_history([path])
    assert raised.value.code == code and "last week.tsv" in raised.value.message
    assert "report.history" in raised.value.message + raised.value.remedy


def test_a_number_that_is_none_is_left_out(tmp_path):
    path = tmp_path / "quality.tsv"
    as_table(made_up_quality(2)).astype(object).assign(kept="many").to_csv(path, sep="\t", index=False)
    assert read_history([path])["kept"].isna().all()


def test_the_config_names_no_missing_history_nor_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    for name in ("results/quality.tsv", "other.tsv"):
        pd.DataFrame().to_csv(tmp_path / name)
    check_history(["other.tsv"], own="results/quality.tsv")
    for path, code in (("nothing.tsv", "missing_history"), ("./results/quality.tsv", "own_history")):
        with pytest.raises(InputError) as raised:
            check_history(["other.tsv", path], own="results/quality.tsv")
        assert raised.value.code == code and path in raised.value.message
