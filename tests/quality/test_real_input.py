"""The check and the filter on the shared real data: the good pass, the two broken ones are found out."""

import json

import pytest

from tissuemake.quality.check import check_sample
from tissuemake.quality.check_reference import check_reference
from tissuemake.sheets import Reference, Sample
from whole_folders import visium


def check(tmp_path, row):
    check_sample(row, tmp_path / "check.json")
    return json.loads((tmp_path / "check.json").read_text())


@pytest.mark.real
@pytest.mark.parametrize(
    ("assay", "path", "columns", "mpp"),
    [
        ("visium", "visium/breast_cancer_338spots", {"organism": "human"}, 0.367),
        ("visium_hd", "visium_hd/crc_p2_region_b_top", {"bin_um": "8", "organism": "human"}, 0.274),
        ("xenium", "xenium/human_526cells_bundle", {"organism": "human"}, 0.2125),
        ("h5ad", "visium_dlpfc/dlpfc_151673.h5ad", {"labels": "obs:layer"}, None),
    ],
)
def test_good_folders_do_not_fail(data_dir, tmp_path, assay, path, columns, mpp):
    found = check(tmp_path, Sample("good", assay, str(data_dir / path), **columns))
    assert found["status"] != "fail", found["findings"]
    assert found["facts"]["seconds"] < 30
    if mpp:
        assert found["facts"]["microns_per_pixel"] == pytest.approx(mpp, rel=0.01)


@pytest.mark.real
def test_a_slide_that_opens_and_cannot_be_read(data_dir, tmp_path):
    row = {**visium(tmp_path / "s"), "mpp": None, "image": str(data_dir / "wsi" / "unreadable.svs")}
    found = check(tmp_path, Sample(**row))
    assert [finding["code"] for finding in found["findings"]] == ["corrupt_slide"]
    assert "unreadable.svs" in found["findings"][0]["message"]


@pytest.mark.real
def test_a_scaled_atlas_has_no_counts(data_dir, tmp_path):
    path = data_dir / "sc_reference" / "pbmc68k_reduced.h5ad"
    check_reference(Reference("pbmc", str(path), "bulk_labels", "human"), tmp_path / "check.json")
    found = json.loads((tmp_path / "check.json").read_text())
    assert found["findings"][0]["code"] == "reference_without_counts"
    assert "raw/X, X" in found["findings"][0]["message"]
