"""The whole tissue: legacy ST, the receipt, and that equal seeds give equal files."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from simulate.tables import read_tsv
from tissuemake.errors import InputError
from tissuemake.files import read_json, sha256
from tissuemake.simulate.vendor_folders import simulate_tissue


def test_st_table_spots_and_picture_agree(tissue):
    counts = pd.read_csv(tissue / "st/counts.tsv.gz", sep="\t", index_col=0)
    spots = pd.read_csv(tissue / "st/spots.tsv", sep="\t")
    spots.index = spots["x"].astype(str) + "x" + spots["y"].astype(str)
    assert list(counts.index) == list(spots.index[spots["selected"] == 1])
    assert list(counts.index) == list(read_tsv(tissue / "truth/st_composition.tsv").index)
    with Image.open(tissue / "st/tissue_image.jpg") as image:
        picture = np.asarray(image).astype(float)
    at = spots[["pixel_y", "pixel_x"]].round().astype(int).to_numpy()
    green = np.array([picture[row - 30 : row + 30, col - 30 : col + 30, 1].mean() for row, col in at])
    under = (spots["selected"] == 1).to_numpy()
    assert green[under].mean() < green[~under].mean() - 20
    # 200 µm between neighbours, at 1 µm per pixel of the JPEG.
    assert np.polyfit(spots["x"], spots["pixel_x"], 1)[0] == pytest.approx(200, rel=0.02)


def test_receipt_lists_every_file_with_its_hash(tissue):
    receipt = read_json(tissue / "truth.json")
    files = {path.relative_to(tissue).as_posix() for path in tissue.rglob("*") if path.is_file()}
    assert set(receipt["files"]) == files - {"truth.json"}
    for name in ("xenium/cells.parquet", "atlas.h5ad"):
        assert receipt["files"][name] == sha256(tissue / name)


def test_equal_seeds_give_equal_files_and_others_do_not(tmp_path):
    small = {"spots": 16, "n_genes": 400, "atlas_cells": 60, "mpp": 1.0}
    receipts = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        simulate_tissue(tmp_path / name, seed=seed, **small)
        receipts.append(read_json(tmp_path / name / "truth.json"))
    assert receipts[0] == receipts[1]
    same = [name for name, value in receipts[0]["files"].items() if receipts[2]["files"].get(name) == value]
    assert not [name for name in same if "matrix.h5" in name or name.endswith((".tif", "composition.tsv"))]


def test_leftovers_of_an_earlier_run_go(tmp_path):
    stale = tmp_path / "visium/outs/stale.txt"
    stale.parent.mkdir(parents=True)
    stale.write_text("old")
    keep = tmp_path / "notes.txt"
    keep.write_text("mine")
    simulate_tissue(tmp_path, spots=16, n_genes=400, atlas_cells=60, mpp=1.0)
    assert not stale.exists() and keep.exists()


def test_nothing_is_receipted_when_writing_fails(tmp_path, monkeypatch):
    from tissuemake.simulate import vendor_folders

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    (tmp_path / "truth.json").write_text("{}")
    monkeypatch.setattr(vendor_folders, "write_xenium", full)
    with pytest.raises(InputError, match="No space left") as caught:
        simulate_tissue(tmp_path, spots=16, n_genes=400, atlas_cells=60, mpp=1.0)
    assert caught.value.code == "disk_full"
    assert not (tmp_path / "truth.json").exists()


@pytest.mark.parametrize(
    ("wrong", "code"),
    [({"zones": "striped"}, "unknown_zones"), ({"n_genes": 20}, "bad_n_genes"), ({"spots": 3}, "bad_spots")],
)
def test_wrong_parameters_say_what_is_right(tmp_path, wrong, code):
    with pytest.raises(InputError) as caught:
        simulate_tissue(tmp_path, **({"spots": 25} | wrong))
    assert caught.value.code == code
    assert str(next(iter(wrong.values()))) in caught.value.message


def test_gzip_holds_no_time_of_day(tissue):
    for path in tissue.rglob("*.gz"):
        assert path.read_bytes()[4:8] == b"\0\0\0\0"
        with gzip.open(path) as handle:
            assert handle.read(1)
    assert json.loads((tissue / "xenium/gene_panel.json").read_text())["payload"]["targets"]
