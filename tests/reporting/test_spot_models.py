"""What a spatial graph model said stands on the page and in the delivery, with what takes from its worth."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from reporting.browser import DESKTOP, PHONE, console_errors, open_page, overflow, painted
from reporting.test_image_views import press
from reporting.test_method_views import CLASHES
from reporting.toy_graph import LABELS, MODEL, WIDTH, GraphToy
from reporting.toy_tissue import SAMPLE
from tissuemake import contracts, files
from tissuemake.errors import InputError
from tissuemake.reporting.cohort_page import report_cohort
from tissuemake.reporting.delivery import deliver_sample
from tissuemake.reporting.sample_page import report_sample
from tissuemake.reporting.spot_models import SpotModels, annotations, perturbations, read_record

FEW = {
    "level": "info",
    "code": "few_spots",
    "message": "7 <b>spots</b> are too few.",
    "remedy": "Look at all.",
}


@pytest.fixture(scope="module")
def graphed(tmp_path_factory) -> GraphToy:
    return GraphToy(tmp_path_factory.mktemp("graph"))


@pytest.fixture(scope="module")
def graph_page(graphed, tmp_path_factory):
    output = tmp_path_factory.mktemp("graph-page") / "report.html"
    report_sample(SAMPLE, **graphed.report_inputs(), output=output)
    return output


@pytest.fixture(scope="module")
def delivery(graphed, graph_page, tmp_path_factory):
    output = tmp_path_factory.mktemp("delivery")
    (output / "perturbation_older.parquet").write_bytes(b"of an older run")
    deliver_sample(
        SAMPLE,
        filtered=graphed.filtered,
        proportions={},
        imputed={MODEL: graphed.imputed[MODEL]},
        domains=graphed.domains,
        report=graph_page,
        check=graphed.check,
        row=graphed.row,
        config={},
        inputs=[],
        output=output,
        spot_embeddings=graphed.spot_embeddings,
        annotation=graphed.annotation,
        perturbation=graphed.perturbation,
        models={MODEL: graphed.models[MODEL]},
    )
    return output


def test_labels_are_counted_and_those_the_probe_saw_are_told(graphed):
    table = contracts.read_table(graphed.annotation[MODEL], contracts.ANNOTATION)
    (found,) = annotations(SpotModels(annotation={MODEL: table}), "spot")
    assert [(row["label"], row["spots"]) for row in found["rows"]] == [(LABELS[1], 39), (LABELS[0], 20)]
    assert (found["bare"], found["seen"]) == (1, 5)


def test_pairs_are_ranked_by_p_and_an_empty_table_is_no_error(graphed):
    table = contracts.read_table(graphed.perturbation[MODEL], contracts.PERTURBATION)
    (found,) = perturbations(SpotModels(perturbation={MODEL: table}))
    assert found["asked"] == 20 and found["below"] == 2
    assert [row["pvalue_fdr"] for row in found["rows"]] == sorted(table["pvalue_fdr"])[:15]
    assert found["rows"][0]["ligand"] == "LIG19" and found["rows"][0]["effect"] == pytest.approx(-0.1)
    none = table.iloc[:0]
    none.attrs["tissuemake"] = {"findings": [FEW]}
    (found,) = perturbations(SpotModels(perturbation={MODEL: none}))
    assert (found["rows"], found["asked"], found["findings"]) == ([], 0, [FEW])


def test_an_embedding_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "sagefm.h5ad").write_text("no h5ad")
    with pytest.raises(InputError, match=r"sagefm\.h5ad holds no embeddings"):
        read_record(tmp_path / "sagefm.h5ad")


def test_the_delivery_holds_numbers_labels_and_pairs_where_others_look_for_them(delivery, graphed):
    adata = ad.read_h5ad(delivery / f"{SAMPLE}.h5ad")
    np.testing.assert_array_equal(adata.obsm[f"X_{MODEL}"], graphed.vectors)
    assert adata.obs[f"annotation_{MODEL}"].value_counts().to_dict() == {LABELS[0]: 20, LABELS[1]: 39}
    assert adata.obs[f"annotation_probability_{MODEL}"].isna().sum() == 1
    assert f"domain_{MODEL}" in adata.obs and adata.obsm[f"X_{MODEL}"].shape[1] == WIDTH
    for name in ("annotation", "perturbation"):
        source = pd.read_parquet(getattr(graphed, name)[MODEL])
        pd.testing.assert_frame_equal(pd.read_parquet(delivery / f"{name}_{MODEL}.parquet"), source)


def test_the_manifest_vouches_for_them(delivery, graphed):
    manifest = files.read_json(delivery / "manifest.json")
    outputs = {entry["path"] for entry in manifest["outputs"]}
    assert outputs == {path.name for path in delivery.iterdir()} - {"manifest.json"}
    steps = {f"{step}/{MODEL}" for step in ("imputation", "embedding of spots", "annotation", "perturbation")}
    assert steps <= set(manifest["steps"])
    assert manifest["models"][MODEL]["weights_sha256"] == files.sha256(
        graphed.models[MODEL] / "model.safetensors"
    )
    between = {entry["sha256"] for entry in manifest["intermediate"]}
    ours = (graphed.spot_embeddings, graphed.annotation, graphed.perturbation)
    assert {files.sha256(found[MODEL]) for found in ours} <= between


@pytest.mark.browser
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_shows_domains_labels_pairs_and_the_model(driver, graph_page, size):
    open_page(driver, graph_page, size)
    assert driver.execute_script(CLASHES) == []
    assert overflow(driver) <= 0
    press(driver, "Show on the tissue")
    assert driver.find_element("id", "map-title").text.startswith("Labels, learnt on other samples")
    assert len(painted(driver, "tissue")) >= 2
    said = driver.find_element("css selector", "main").text
    assert "pretrained on this sample: nothing is scored" in said and " 0 were hidden" not in said
    assert "5 spots were asked of a probe that had seen" in said
    assert "LIG19" in driver.find_element("id", "perturbation").text
    model = driver.find_element("id", "models").text
    assert MODEL in model and "rings" in model
    steps = driver.find_element("id", "provenance").text
    assert f"Perturbation, {MODEL}" in steps and f"Embedding of spots, {MODEL}" in steps
    html = graph_page.read_text()
    assert "<b>1</b>" not in html and "<i>REC" not in html
    assert [error for error in console_errors(driver) if "willReadFrequently" not in error] == []


def test_a_page_without_such_a_model_says_nothing_of_it(toy_page):
    html = toy_page.read_text()
    assert 'id="annotation"' not in html and 'id="perturbation"' not in html


def test_the_cohorts_page_shows_the_pairs_of_all_sections_together(graphed, tmp_path):
    table = contracts.read_table(graphed.perturbation[MODEL], contracts.PERTURBATION).assign(slides=3)
    contracts.write_table(table, tmp_path / "pairs.parquet", contracts.PERTURBATION)
    asked = {"checks": {}, "rejected": {}, "rows": {}, "evaluations": [], "filtered": {}, "domains": {}}
    asked |= {"proportions": {}, "imputed": {}}
    report_cohort(**asked, output=tmp_path / "with.html", perturbation={MODEL: tmp_path / "pairs.parquet"})
    report_cohort(**asked, output=tmp_path / "without.html")
    html = (tmp_path / "with.html").read_text()
    assert "LIG19" in html and 'id="perturbation"' in html and ">sections</th>" in html
    assert 'id="perturbation"' not in (tmp_path / "without.html").read_text()


def test_a_page_says_why_no_pair_could_be_asked(graphed, tmp_path):
    none = contracts.read_table(graphed.perturbation[MODEL], contracts.PERTURBATION).iloc[:0]
    contracts.write_table(none, tmp_path / "none.parquet", contracts.PERTURBATION, {"findings": [FEW]})
    inputs = graphed.report_inputs() | {"perturbation": {MODEL: tmp_path / "none.parquet"}}
    report_sample(SAMPLE, **inputs, output=tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "No pair could be asked." in html and "7 &lt;b&gt;spots&lt;/b&gt; are too few." in html
    assert "Look at all." in html
