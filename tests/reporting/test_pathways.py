"""Pathways stand on the page and in the delivery, with whose sets they are and what takes from their worth."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from reporting.toy_pathways import MODEL, OWNER, SETS, PathwayToy
from reporting.toy_tissue import SAMPLE
from tissuemake import contracts, files
from tissuemake.evaluation.pathway_scores import pathways as pathway_scores
from tissuemake.reporting.delivery import deliver_sample
from tissuemake.reporting.pathway_section import pathway_section
from tissuemake.reporting.pathways import LAYERS_SHOWN, Pathways, pathway_groups, read_pathways
from tissuemake.reporting.sample_page import report_sample


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> PathwayToy:
    return PathwayToy(tmp_path_factory.mktemp("pathways"))


@pytest.fixture(scope="module")
def page(toy, tmp_path_factory):
    output = tmp_path_factory.mktemp("pathway-page") / "report.html"
    report_sample(SAMPLE, **toy.report_inputs(), output=output)
    return output


def evaluated(toy: PathwayToy) -> pd.DataFrame:
    adata = contracts.read_anndata(toy.filtered, contracts.FILTERED)
    tables = {name: contracts.read_table(path, contracts.PATHWAYS) for name, path in toy.pathways.items()}
    found = pathway_scores({MODEL: tables[MODEL]}, tables["measured"], adata)
    return pd.DataFrame(found, columns=["method", "metric", "value"]).assign(task="pathways", sample="s")


def test_what_a_model_says_is_scored_beside_library_size(toy):
    found = evaluated(toy).set_index(["method", "metric"])["value"]
    assert found[MODEL, "held_out_r"] > 0.9 and found[MODEL, "held_out_r_depth_adjusted"] > 0.9
    assert found[MODEL, "variance_share"] == pytest.approx(0.26, abs=0.1)
    assert abs(found["library_size", "held_out_r"]) < 0.4
    assert found["library_size", "held_out_r_depth_adjusted"] == 0
    assert found[MODEL, f"held_out_r_depth_adjusted[{SETS[0]}]"] > 0.9


def test_a_model_that_saw_the_donor_is_not_scored(tmp_path):
    seen = PathwayToy(tmp_path, seen=True)
    assert evaluated(seen).empty
    found = read_pathways(seen.pathways, seen.borders, seen.attention)
    section = pathway_section(found, evaluated(seen).assign(metric=""))
    assert section["seen"] == [MODEL]
    assert all(np.isnan(row["agreement"][0]) for row in section["rows"])


def test_the_section_names_sets_owner_and_depth(toy):
    found = read_pathways(toy.pathways, toy.borders, toy.attention)
    section = pathway_section(found, evaluated(toy))
    assert section["about"]["attribution"] == OWNER and section["about"]["scaled_by"] == "one, two"
    assert section["depth_r"] == pytest.approx(0.02)
    assert [row["name"] for row in section["rows"]] == ["HYPOXIA", SETS[1], "E2F TARGETS"]
    assert section["rows"][0]["agreement"][0] > 0.9 and section["rows"][1]["genes"] == 12
    assert section["borders"][0]["name"] == "HYPOXIA" and section["borders"][0]["of"] == ["measured", MODEL]
    assert section["attention"][0]["speakers"][0]["patches"] == [{"patch": "tile <i>0</i>", "weight": 3.5}]
    assert section["left_out"] == ["TINY"]


def test_maps_of_a_set_share_one_scale_and_large_libraries_are_cut(toy):
    found = read_pathways(toy.pathways, {}, {})
    measured, said = pathway_groups(found, toy.barcodes)
    assert [layer.key for layer in measured.layers] == list(SETS)
    for left, right in zip(measured.layers, said.layers, strict=True):
        assert (left.floor, left.ceiling) == (right.floor, right.ceiling)
    assert np.isnan(said.layers[0].values[-1])
    wide = pd.DataFrame(
        np.random.default_rng(0).normal(size=(toy.spots, 80)) * np.arange(80), index=toy.barcodes
    )
    wide.columns = [f"S{i}" for i in range(80)]
    (group,) = pathway_groups(Pathways({"measured": wide}), toy.barcodes)
    assert len(group.layers) == LAYERS_SHOWN and "60 of 80" in group.note
    assert group.layers[-1].key == "S79" and "S0" not in {layer.key for layer in group.layers}


def test_a_sample_without_scores_says_why(toy):
    bare = pd.DataFrame(index=toy.barcodes)
    bare.attrs["tissuemake"] = {"reason": "No set has 5 genes."}
    section = pathway_section(Pathways({"measured": bare}), evaluated(toy).iloc[:0])
    assert section["reasons"] == ["No set has 5 genes."] and section["rows"] == [] and section["show"] is None
    assert pathway_groups(Pathways({"measured": bare}), toy.barcodes)[0].layers == []
    assert pathway_section(Pathways(), evaluated(toy)) is None


def test_the_page_shows_all_of_it_and_names_are_text(page):
    text = page.read_text()
    for said in (
        "Pathways, measured",
        f"by {MODEL}",
        "Across the border",
        "0.02",
        "Hallmark gene sets of somebody &amp;",
    ):
        assert said in text
    assert "<b>2</b>" not in text and "<i>0</i>" not in text


def test_the_delivery_holds_scores_borders_attention_and_owner(toy, page, tmp_path):
    deliver_sample(
        SAMPLE,
        filtered=toy.filtered,
        proportions={},
        imputed={},
        domains=toy.domains,
        report=page,
        check=toy.check,
        row=toy.row,
        config={},
        inputs=[],
        output=tmp_path,
        pathways=toy.pathways,
        borders=toy.borders,
        attention=toy.attention,
    )
    adata = ad.read_h5ad(tmp_path / f"{SAMPLE}.h5ad")
    assert list(adata.obsm["pathways_measured"].columns) == [name.replace("/", "|") for name in SETS]
    np.testing.assert_array_equal(adata.obsm[f"pathways_{MODEL}"].to_numpy(), toy.said.to_numpy())
    manifest = files.read_json(tmp_path / "manifest.json")
    assert any(OWNER in notice for notice in manifest["notices"])
    assert {"pathways/measured", f"pathways at the border/{MODEL}"} <= set(manifest["steps"])
    outputs = {entry["path"] for entry in manifest["outputs"]}
    assert {"pathways_measured.parquet", f"border_{MODEL}.parquet", f"attention_{MODEL}.parquet"} <= outputs
