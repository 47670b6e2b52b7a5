"""Custom content for MultiQC: files it finds by their names, with what each kind of section needs."""

import json

import pytest

from reporting.made_up_cohort import made_up_quality
from tissuemake import contracts
from tissuemake.reporting.multiqc import custom_content, reasons_dropped, write_custom_content
from tissuemake.reporting.quality_table import as_table

DROPPED = {"S0000": {"kept": 90, "few counts": 10}}


@pytest.fixture
def quality():
    table = as_table(made_up_quality(40))
    table.loc[0, ["donor", "outlier"]] = ["<img src=x onerror=alert(1)>", "counts 3, below 900"]
    return table


def test_every_section_is_complete(quality, tmp_path):
    write_custom_content(quality, DROPPED, tmp_path)
    found = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert len(found) == 3 and all(name.endswith("_mqc.json") for name in found)
    kinds = {content["plot_type"]: content for content in found.values()}
    assert set(kinds) == {"generalstats", "table", "bargraph"}
    assert len({content["id"] for content in found.values()}) == 3
    for kind in ("table", "bargraph"):
        section = kinds[kind]
        assert (
            section["section_name"] and section["description"] and section["pconfig"]["id"] != section["id"]
        )
        assert section["parent_id"] == "tissuemake"
    columns = {name: header for part in kinds["generalstats"]["pconfig"] for name, header in part.items()}
    assert set(columns) == {"kept", "median_counts", "median_genes", "pct_dropped", "pct_mt"}
    assert all(header["title"] and header["format"] for header in columns.values())
    for row in kinds["generalstats"]["data"].values():
        assert set(row) <= set(columns) and all(isinstance(value, float) for value in row.values())
    assert set(kinds["table"]["headers"]) >= {key for row in kinds["table"]["data"].values() for key in row}
    assert kinds["bargraph"]["data"] == DROPPED


def test_failed_samples_stand_in_the_table_and_nothing_is_null(quality):
    table = custom_content(quality, DROPPED)["tissuemake_quality_mqc.json"]["data"]
    assert len(table) == 40 and table["S0029"] == {
        "status": "fail", "reason": "truncated_h5", "group": "visium", "slide": "SV00017", "donor": "d14",
    }  # fmt: skip
    assert table["S0000"]["outlier"] == "counts 3, below 900"
    assert "pct_control" not in table["S0000"]
    assert "null" not in json.dumps(table) and "NaN" not in json.dumps(table)


def test_texts_cannot_be_markup_in_its_page(quality):
    quality.loc[1, "sample"] = "<b>x</b>"
    text = json.dumps(custom_content(quality, {"<b>x</b>": {"kept": 1}}))
    assert "<" not in text and "&lt;b&gt;x" in text


def test_a_run_in_which_all_failed_has_no_empty_section(quality):
    failed = quality[quality["status"] == "fail"]
    assert list(custom_content(failed, {})) == ["tissuemake_quality_mqc.json"]


def test_reasons_are_counted_apart_and_off_tissue_is_none(toy):
    adata = contracts.read_annotations(toy.filtered, contracts.FILTERED)
    assert reasons_dropped(adata) == {"kept": 60, "few counts": 2}
    adata.uns["dropped"]["reason"] = ["off tissue", "few counts", "few counts; few genes"]
    assert reasons_dropped(adata) == {"kept": 60, "few counts": 1, "several reasons": 1}
