"""The methods paragraph says what ran, with this sample's numbers, and nothing else; decisions can be compared."""

import copy

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from reporting.toy_images import NOT_FREE
from reporting.toy_tissue import SAMPLE, Toy
from tissuemake import files
from tissuemake.cli.options import app
from tissuemake.errors import InputError
from tissuemake.reporting.decisions import PARTS, decisions, differences, read_decisions
from tissuemake.reporting.licences import commercial_use
from tissuemake.reporting.methods import SECTIONS, known_citations, markdown, methods
from tissuemake.reporting.sample_page import report_sample


@pytest.fixture(scope="module")
def written(imaged, tmp_path_factory):
    """The page of the toy with an image, and what was written beside it."""
    folder = tmp_path_factory.mktemp("written")
    check = folder / "reference.json"
    files.write_json({"facts": {"n_observations": 1234, "fingerprint": "abc"}}, check)
    report_sample(
        SAMPLE,
        **{**imaged.report_inputs(), "row": {**imaged.row, "reference": "atlas"}},
        reference_check=check,
        output=folder / "report.html",
        decisions=folder / "decisions.json",
        methods_text=folder / "methods.md",
    )
    return folder


@pytest.fixture(scope="module")
def decided(written):
    return read_decisions(written / "decisions.json")


def test_decisions_hold_thresholds_their_source_and_what_was_dropped(decided):
    assert tuple(decided) == PARTS
    cut = decided["filter"]
    assert cut["thresholds"]["min_counts"] == {"value": 10.0, "source": "robust", "median": 300.0}
    assert cut["dropped"] == {"few counts": 2, "off tissue": 1}
    assert (cut["n_kept"], cut["n_dropped"]) == (60, 3)
    assert decided["normalisation"] == {"counts_per": 10000.0, "transform": "log1p", "n_genes": 50}
    assert decided["reference"]["facts"]["fingerprint"] == "abc"
    assert decided["domains"]["pca"] == 3
    assert decided["seeds"] == [1]


def test_a_spot_with_two_reasons_counts_under_both():
    adata = ad.AnnData(np.zeros((2, 3), np.float32))
    adata.uns["dropped"] = pd.DataFrame({"reason": ["few counts; few genes", "few counts", "off tissue"]})
    adata.uns["tissuemake"] = {"assay": "visium"}
    cut = decisions("s", adata, check={}, records={}, domains=pd.DataFrame())["filter"]
    assert cut["dropped"] == {"few counts": 2, "few genes": 1, "off tissue": 1}
    assert (cut["n_kept"], cut["n_dropped"]) == (2, 3)


def test_decisions_name_methods_and_weights_not_times(decided, imaged):
    assert {"nnls", "nnls_rescaled", "sparank"} <= set(decided["steps"]["deconvolution"])
    assert decided["models"]["sparank"]["weights_sha256"] == files.sha256(imaged.model / "model.safetensors")
    assert not [
        key
        for step in decided["steps"].values()
        for record in step.values()
        for key in record
        if key in ("seconds", "peak_memory_mb", "versions")
    ]


def test_weights_that_are_not_free_are_flagged(decided, written):
    flags = {entry["what"]: entry["commercial_use"] for entry in decided["licences"]}
    assert flags["encoder 'hibou<b>'"] is False
    assert flags["encoder 'color'"] is None  # nobody said
    text = (written / "methods.md").read_text()
    assert "CC-BY-NC-ND-4.0 &lt;i&gt;gated&lt;/i&gt;. **NO COMMERCIAL USE**" in text
    page = (written / "report.html").read_text()
    section = page[page.index('id="methods"') :]
    assert '<span class="badge warn">no commercial use</span>' in section
    assert NOT_FREE not in page


def test_every_mark_is_cited_and_every_citation_is_marked(decided):
    made = methods(decided)
    text = " ".join(made.paragraphs.values())
    assert "[@" not in text
    assert [entry.number for entry in made.citations] == list(range(1, len(made.citations) + 1))
    assert all(f"[{entry.number}]" in text for entry in made.citations)
    assert any("SpaRank" in entry.text for entry in made.citations)
    assert not any("Tangram" in entry.text for entry in made.citations)


def test_the_text_follows_what_ran(decided):
    text = markdown(decided)
    assert "60 of 62 spots remained (few counts: 2)" in text
    assert "fewer than 10 counts (from this sample's median" in text
    assert "of the reference 'atlas' (1,234 cells)" in text
    less = copy.deepcopy(decided)
    for step in ("deconvolution", "imputation", "embedding_of_tiles", "tumour", "expression_from_the_image"):
        less["steps"].pop(step, None)
    less["steps"]["a_new_step"] = {"by magic": {}}
    text = markdown(less)
    assert "## Cell types" not in text
    assert "SpaRank" not in text
    assert "Further steps: a new step (by magic)" in text


def test_a_published_encoder_is_cited_by_its_own_paper(decided):
    other = copy.deepcopy(decided)
    other["steps"]["embedding_of_tiles"] = {
        "phikon": {"reference": "10.1101/2023.07.21.23292757", "weights_sha256": "ab" * 32}
    }
    text = markdown(other)
    assert "the published network 'phikon'" in text
    assert "<https://doi.org/10.1101/2023.07.21.23292757>" in text
    assert "phikon abababababababab" in text


def test_names_that_users_gave_are_no_markup(decided):
    other = copy.deepcopy(decided)
    other["input"]["tissue"] = "<img src=x> [x](javascript:alert(1))\n# heading `*"
    text = markdown(other)
    assert "<img" not in text
    assert "](javascript" not in text
    assert "\n# heading" not in text


@pytest.mark.parametrize("title", SECTIONS)
def test_a_sample_of_which_little_is_known_still_reads(title):
    empty = {
        "format": 1, "sample": "s", "input": {"assay": "visium"}, "reference": {}, "steps": {}, "domains": {},
        "filter": {"n_kept": 1, "n_dropped": 0, "dropped": {}, "thresholds": {}}, "models": {}, "licences": [],
        "normalisation": {"counts_per": 10000.0, "transform": "log1p", "n_genes": 2}, "seeds": [], "devices": [],
        "versions": {},
    }  # fmt: skip
    said = SECTIONS[title](empty)
    assert "None" not in said
    assert "  " not in said


def test_citations_have_what_a_list_of_references_needs():
    import re

    for key, entry in known_citations().items():
        assert set(entry) <= {"text", "doi", "licence"}, key
        assert entry["text"].endswith("."), key
        assert re.fullmatch(r"10\.\d{4,5}/\S+|arXiv:\d{4}\.\d{5}", entry.get("doi", "10.1000/none")), key


def test_every_mark_in_the_sentences_is_known():
    import inspect
    import re

    from tissuemake.reporting import method_sentences

    marks = set(re.findall(r"\[@([a-z0-9_]+)\]", inspect.getsource(method_sentences)))
    assert marks - {"key"} <= set(known_citations())  # that of the first line
    assert {"scanpy", "squidpy", "hallmark"} <= marks


@pytest.mark.parametrize(
    ("licence", "stated", "allowed"),
    [("CC-BY-NC-4.0", None, False), ("MIT", None, True), ("CC BY 4.0", None, True), ("own terms", None, None),
     ("own terms", True, True), ("MIT", False, False), ("", None, None), ("That of the images", None, None)],
)  # fmt: skip
def test_what_a_licence_allows(licence, stated, allowed):
    assert commercial_use(licence, stated) is allowed


def test_decisions_of_two_facilities_are_compared(written, decided, tmp_path):
    theirs = copy.deepcopy(decided)
    theirs["filter"]["thresholds"]["min_counts"] = {"value": 500.0, "source": "config", "median": 300.0}
    del theirs["steps"]["deconvolution"]["nnls"]
    files.write_json(theirs, tmp_path / "theirs.json")
    keys = [row[0] for row in differences(decided, theirs)]
    assert "filter.thresholds.min_counts.source" in keys
    assert "steps.deconvolution.nnls.seed" in keys
    assert not [
        key
        for key in keys
        if not key.startswith(("filter.thresholds.min_counts", "steps.deconvolution.nnls."))
    ]
    run = CliRunner().invoke(app, ["compare-decisions", str(written), str(tmp_path / "theirs.json")])
    assert run.exit_code == 1
    assert "filter.thresholds.min_counts.value\t10.0\t500.0" in run.output.splitlines()
    assert CliRunner().invoke(app, ["compare-decisions", str(written), str(written)]).exit_code == 0


@pytest.mark.parametrize("text", ["{}", "[]", "no json", '{"format": 2}'])
def test_what_is_no_decisions_file_is_refused(tmp_path, text):
    (tmp_path / "decisions.json").write_text(text)
    with pytest.raises(InputError) as error:
        read_decisions(tmp_path)
    assert error.value.code == "bad_decisions"


def test_a_toy_without_image_or_reference_has_a_methods_text(tmp_path):
    toy = Toy(tmp_path / "toy", image=False, observation="cell")
    given = {**toy.report_inputs(), "proportions": {}, "imputed": {}, "models": {}, "attributions": {}}
    report_sample(SAMPLE, **given, output=tmp_path / "page.html", methods_text=tmp_path / "methods.md")
    text = (tmp_path / "methods.md").read_text()
    assert "## Stained image" not in text
    assert "cells" in text
