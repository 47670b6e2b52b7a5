"""The check: whole folders pass, every broken one gets its code, its message and its remedy."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from broken_folders import BROKEN
from tissuemake.files import write_json
from tissuemake.quality import check as check_module
from tissuemake.quality import matrix_checks
from tissuemake.quality.check import check_sample
from tissuemake.quality.check_reference import check_reference
from tissuemake.sheets import Reference, Sample
from whole_folders import SAMPLE, atlas, counts, genes, visium


def run(tmp_path, row, reference_row=None, receipts=(), **carrying):
    """The sample's ``check.json``, with its reference checked first as the workflow does."""
    mpp = float(row["mpp"]) if row.get("mpp") else None
    sample = Sample(**{**row, "mpp": mpp})
    reference, verdict_of_reference = None, None
    if reference_row:
        reference = Reference(**reference_row)
        verdict_of_reference = tmp_path / "reference.json"
        check_reference(reference, verdict_of_reference)
    output = tmp_path / "check.json"
    check_sample(
        sample,
        output,
        reference=reference,
        reference_check=verdict_of_reference,
        receipts=receipts,
        **carrying,
    )
    return json.loads(output.read_text())


def test_a_whole_folder_passes_with_its_facts(tmp_path):
    found = run(tmp_path, {**visium(tmp_path / "s"), "reference": "atlas"}, atlas(tmp_path / "r"))
    assert (found["sample"], found["status"], found["findings"]) == (SAMPLE, "pass", [])
    facts = found["facts"]
    assert facts["software"] == "Space Ranger 3.0.0"
    assert (facts["n_observations"], facts["n_genes"], facts["gene_overlap"]) == (36, 80, 80)
    assert facts["microns_per_pixel"] == 1.0
    assert facts["median_counts"] == np.median(counts().sum(1))
    assert facts["image_px"] == [1000, 900]
    assert len(facts["fingerprint"]) == 64 and facts["expected_memory_mb"] > 100


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input_is_named_with_its_remedy(tmp_path, name):
    broken = BROKEN[name]
    reference_row = broken.build_reference(tmp_path / "r") if broken.build_reference else None
    found = run(tmp_path, broken.build(tmp_path / "s"), reference_row)
    assert found["status"] == "fail"
    failures = {finding["code"]: finding for finding in found["findings"] if finding["level"] == "fail"}
    assert broken.code in failures, found["findings"]
    assert "unexpected" not in failures
    finding = failures[broken.code]
    for word in (SAMPLE, *broken.words):
        assert word in finding["message"]
    assert len(finding["remedy"]) > 10


def test_a_broken_reference_fails_on_its_own(tmp_path):
    for name in ("reference_without_counts", "one_label", "unknown_label_key"):
        row = BROKEN[name].build_reference(tmp_path / name)
        check_reference(Reference(**row), tmp_path / "check.json")
        found = json.loads((tmp_path / "check.json").read_text())
        assert (found["reference"], found["status"]) == ("atlas", "fail")
        wanted = {"unknown_label_key": "unknown_label_key"}.get(
            name, name.replace("one_label", "one_cell_type")
        )
        assert [finding["code"] for finding in found["findings"]] == [wanted]
    assert "Did you mean 'cell_type'?" in found["findings"][0]["remedy"]


def test_a_type_named_like_a_column_of_proportions_fails_before_the_preparation_would(tmp_path):
    row = atlas(tmp_path)
    cells = ad.read_h5ad(row["path"])
    cells.obs["cell_type"] = cells.obs["cell_type"].astype(str).replace("type1", "gate")
    cells.write_h5ad(row["path"])
    check_reference(Reference(**row), tmp_path / "check.json")
    found = json.loads((tmp_path / "check.json").read_text())
    assert [finding["code"] for finding in found["findings"]] == ["reserved_type"]


@pytest.mark.parametrize(("min_cells", "code"), [(20, None), (21, "one_cell_type")])
def test_a_reference_of_which_too_few_types_would_stay_fails(tmp_path, min_cells, code):
    check_reference(Reference(**atlas(tmp_path)), tmp_path / "check.json", min_cells=min_cells)
    findings = json.loads((tmp_path / "check.json").read_text())["findings"]
    assert [finding["code"] for finding in findings] == ([code] if code else [])
    assert all("type0 (20)" in finding["message"] for finding in findings)


def test_a_label_that_names_nothing_is_no_type(tmp_path):
    row = atlas(tmp_path)
    adata = ad.read_h5ad(row["path"])
    adata.obs["cell_type"] = ["Doublet", "T cell"] * 20
    adata.write_h5ad(row["path"])
    check_reference(Reference(**row), tmp_path / "check.json")
    found = json.loads((tmp_path / "check.json").read_text())
    assert [finding["code"] for finding in found["findings"]] == ["one_cell_type"]


def test_a_slide_whose_metadata_contradict_the_sheet_names_both(tmp_path):
    row = visium(tmp_path / "s")
    picture = np.asarray(Image.open(row["image"]).convert("RGB"))
    tags = {"resolution": (1e4 / 1.25, 1e4 / 1.25), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "slide.tif", picture, photometric="rgb", **tags)
    found = run(tmp_path, {**row, "image": str(tmp_path / "slide.tif")})
    (finding,) = (each for each in found["findings"] if each["code"] == "mpp_mismatch")
    for words in ("the column mpp says 1 ", "slide.tif 1.25", "10%"):
        assert words in finding["message"]
    assert "column mpp" in finding["remedy"]


def test_exchanged_pixel_columns_are_seen_where_nothing_else_tells(tmp_path):
    row = visium(tmp_path / "s")
    path = tmp_path / "s" / "outs" / "spatial" / "tissue_positions.csv"
    swapped = pd.read_csv(path).rename(
        columns={
            "pxl_row_in_fullres": "pxl_col_in_fullres",
            "pxl_col_in_fullres": "pxl_row_in_fullres",
        }
    )
    swapped.to_csv(path, index=False)
    assert [finding["code"] for finding in run(tmp_path, row)["findings"]] == ["mirrored_positions"]


def test_spots_on_bare_glass_are_suspicious(tmp_path):
    row = visium(tmp_path / "s")
    path = tmp_path / "s" / "outs" / "spatial" / "tissue_hires_image.png"
    picture = np.asarray(Image.open(path)).copy()
    picture[:, 75:400] = 245
    Image.fromarray(picture).save(path)
    found = run(tmp_path, row)
    assert [finding["code"] for finding in found["findings"]] == ["spots_on_glass"]
    assert found["status"] == "warn"


def test_a_sample_of_which_the_filter_would_keep_nothing_fails(tmp_path):
    row = visium(tmp_path / "s")
    deepest = int(counts().sum(axis=1).max())
    assert run(tmp_path, row, min_counts=deepest)["status"] == "warn"
    found = run(tmp_path, row, min_counts=deepest + 1)["findings"][0]
    assert found["code"] == "no_spot_left"
    assert f"has {deepest} counts, below the {deepest + 1}" in found["message"]


def test_a_huge_matrix_is_judged_by_blocks_of_barcodes(tmp_path, monkeypatch):
    monkeypatch.setattr(matrix_checks, "MANY_VALUES", 100)
    monkeypatch.setattr(matrix_checks, "BLOCK_BARCODES", 2)
    monkeypatch.setattr(matrix_checks, "BLOCKS", 4)
    found = run(tmp_path / "good", visium(tmp_path / "good" / "s"))
    assert (found["status"], found["facts"]["n_observations"]) == ("pass", 36)
    assert found["facts"]["n_values"] > 1000
    bad = counts()
    bad[0] = bad[0] / 3
    found = run(tmp_path / "bad", visium(tmp_path / "bad" / "s", matrix=bad))
    assert [finding["code"] for finding in found["findings"]] == ["not_counts"]


def test_a_failed_fetch_is_the_samples_failure(tmp_path):
    receipt = tmp_path / "abc.json"
    write_json({"status": "failed", "message": "u answered 404.", "remedy": "Correct the URL."}, receipt)
    found = run(tmp_path, visium(tmp_path / "s"), receipts=[receipt])
    assert found["findings"] == [
        {
            "level": "fail",
            "code": "not_fetched",
            "message": f"Sample '{SAMPLE}': u answered 404.",
            "remedy": "Correct the URL.",
        }
    ]


def test_what_nobody_foresaw_is_a_finding_too(tmp_path, monkeypatch, capsys):
    def explode(_):
        raise RuntimeError("the moon")

    monkeypatch.setattr(check_module, "open_reader", explode)
    found = run(tmp_path, visium(tmp_path / "s"))
    assert found["findings"][0]["code"] == "unexpected"
    assert "the moon" in found["findings"][0]["message"]
    assert "RuntimeError: the moon" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("column", "lines", "code"),
    [
        ("labels", ["barcode\tlabel", "nobody-1\tA"], "labels_of_another_sample"),
        ("labels", ["barcode\tlabel", "nobody-1\tA", "nobody-1\tB"], "bad_labels"),
        ("labels", ["barcode\ta\tb", "x\t1\t2"], "bad_labels"),
        ("truth", ["barcode\tT\tB", "nobody-1\t1\t2"], "truth_of_another_sample"),
    ],
)
def test_labels_and_truth_belong_to_the_sample(tmp_path, column, lines, code):
    table = tmp_path / "table.tsv"
    table.write_text("\n".join(lines) + "\n")
    found = run(tmp_path, {**visium(tmp_path / "s"), column: str(table)})
    assert [finding["code"] for finding in found["findings"]] == [code]
    assert "table.tsv" in found["findings"][0]["message"]


def test_the_fingerprint_follows_content(tmp_path):
    row = visium(tmp_path / "s")
    first = run(tmp_path, row)["facts"]["fingerprint"]
    assert run(tmp_path, row)["facts"]["fingerprint"] == first
    path = tmp_path / "s" / "outs" / "spatial" / "tissue_positions.csv"
    path.write_text(path.read_text().replace("150.0", "150.1"))
    assert run(tmp_path, row)["facts"]["fingerprint"] != first


def orthologs(tmp_path, first=0):
    """A table of the toy's genes, those from `first` on."""
    table = tmp_path / "orthologs.csv"
    pairs = pd.DataFrame({"mouse": genes("mouse")["name"], "human": genes("human")["name"]})
    pairs.iloc[first:].to_csv(table, index=False)
    return table


def crossed(tmp_path, target="mouse", table=None, atlas_row=None, **cells):
    """The check of a mouse sample whose human reference is prepared with genes of `target`."""
    row = {**visium(tmp_path / "s", "mouse"), "reference": "atlas", **cells}
    atlas_row = atlas_row or atlas(tmp_path / "r")
    return run(tmp_path, row, atlas_row, organism=target, orthologs=table)


def test_orthologs_let_a_human_reference_serve_a_mouse_sample(tmp_path):
    found = crossed(tmp_path, table=orthologs(tmp_path, first=10))
    assert (found["status"], found["findings"]) == ("pass", [])
    assert (found["facts"]["gene_overlap"], found["facts"]["reference_carried_from"]) == (70, "human")


def test_private_gene_names_are_known_by_a_table_of_aliases(tmp_path):
    reference = atlas(tmp_path / "atlas", named_alike=False)
    row = {**visium(tmp_path / "s"), "reference": "atlas"}
    (finding,) = run(tmp_path, row, reference)["findings"]
    assert finding["code"] == "no_shared_gene"
    pairs = pd.DataFrame({"alias": "OTHER" + genes()["name"], "symbol": genes()["name"]})
    pairs.to_csv(tmp_path / "aliases.csv", index=False)
    cells = ad.read_h5ad(reference["path"])
    cells.var["gene_id"] = ""
    cells.write_h5ad(reference["path"])
    found = run(tmp_path, row, reference, aliases=tmp_path / "aliases.csv")
    assert (found["status"], found["facts"]["gene_overlap"]) == ("pass", len(genes()))


def test_few_orthologs_are_few_shared_genes(tmp_path):
    found = crossed(tmp_path, table=orthologs(tmp_path, first=60))
    assert [finding["code"] for finding in found["findings"]] == ["few_shared_genes"]
    assert "20 genes with a one-to-one mouse ortholog" in found["findings"][0]["message"]


@pytest.mark.parametrize("cells", [{}, {"organism": ""}])
def test_a_reference_prepared_for_others_wants_the_organism_or_a_second_row(tmp_path, cells):
    found = crossed(tmp_path, target="human", table=orthologs(tmp_path), **cells)
    (finding,) = found["findings"]
    assert (found["status"], finding["code"]) == ("fail", "organism_mismatch")
    assert "column organism" in finding["remedy"] and "second row" in finding["remedy"]


def test_without_a_table_the_remedy_names_the_key(tmp_path):
    (finding,) = crossed(tmp_path)["findings"]
    assert finding["code"] == "organism_mismatch" and "reference.orthologs" in finding["remedy"]


def test_a_table_that_is_not_there_or_shares_nothing_is_a_failure(tmp_path):
    (finding,) = crossed(tmp_path / "a", table=tmp_path / "none.csv")["findings"]
    assert (finding["level"], finding["code"]) == ("fail", "missing_orthologs")
    assert SAMPLE in finding["message"] and "none.csv" in finding["message"]
    strangers = atlas(tmp_path / "strangers", named_alike=False)
    (finding,) = crossed(tmp_path / "b", table=orthologs(tmp_path), atlas_row=strangers)["findings"]
    assert (finding["level"], finding["code"]) == ("fail", "no_orthologs")


@pytest.mark.parametrize("column", ["path", "image", "labels"])
def test_a_missing_path_says_that_its_variable_is_not_set(tmp_path, column):
    row = {**visium(tmp_path / "s"), column: "${NO_SUCH_SHARE}/x"}
    (finding,) = run(tmp_path, row)["findings"]
    assert finding["code"] == "missing_path"
    assert "variable is not set: NO_SUCH_SHARE." in finding["remedy"]
