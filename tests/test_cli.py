"""The command line: an example in every help, one message for a mendable error, steps that chain."""

import re
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from PIL import Image

from tissuemake.contracts import INGESTED, PROPORTIONS, read_table, write_anndata, write_table
from tissuemake.histology.tile_store import TileStore

PROGRAM = str(Path(sys.executable).with_name("tissuemake"))


def tissuemake(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)


def write_slide(folder: Path) -> Path:
    """An ingested sample of one spot on 800 µm of stained tissue, its image beside it."""
    rng = np.random.default_rng(0)
    stain = np.array([205, 130, 185]) + rng.normal(0, 1, (800, 800, 1)) * (20, 30, 15)
    Image.fromarray(stain.clip(0, 255).astype(np.uint8)).save(folder / "slide.png")
    spot = ad.AnnData(
        sp.csr_matrix(np.ones((1, 1), np.float32)),
        obs=pd.DataFrame({"in_tissue": [True]}, index=["spot"]),
        var=pd.DataFrame({"gene_id": [""]}, index=["A"]),
        obsm={"spatial": np.array([[400.0, 400.0]])},
        uns={"tissuemake": {"sample": "s", "observation": "spot"}},
    )
    image = {"images": {}, "metadata": {"source_image_path": str(folder / "slide.png")}}
    spot.uns["spatial"] = {"s": {**image, "scalefactors": {"microns_per_pixel": 1.0}}}
    write_anndata(spot, folder / "ingested.h5ad", INGESTED)
    return folder / "ingested.h5ad"


def commands() -> list[str]:
    files = sorted((Path(__file__).parents[1] / "workflow" / "tissuemake" / "cli").glob("*.py"))
    text = "".join(path.read_text() for path in files)
    return [
        name.rstrip("_").replace("_", "-") for name in re.findall(r"@app\.command\([^)]*\)\ndef (\w+)", text)
    ]


@pytest.mark.parametrize("command", commands())
def test_help_shows_an_example(command):
    done = tissuemake(command, "--help")
    assert done.returncode == 0
    assert f"Example: tissuemake {command} " in done.stdout


def test_missing_folder_is_one_message(tmp_path):
    done = tissuemake("check", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert "nowhere" in done.stderr and "remedy:" in done.stderr and "Traceback" not in done.stderr


def test_unknown_folder_names_the_option(tmp_path):
    done = tissuemake("check", str(tmp_path))
    assert done.returncode == 1
    assert "--assay" in done.stderr


def test_deconvolve_wants_a_model_or_a_reference():
    done = tissuemake("deconvolve", "filtered.h5ad")
    assert done.returncode == 1
    assert "--model" in done.stderr and "remedy:" in done.stderr and "Traceback" not in done.stderr


def test_imputing_by_a_model_wants_the_model():
    done = tissuemake("impute", "filtered.h5ad", "-o", "out.h5ad", "--method", "sagefm")
    assert done.returncode == 1
    assert "--model" in done.stderr and "pretrain-sagefm" in done.stderr and "Traceback" not in done.stderr


def test_pretrain_says_what_prepares_a_reference(tmp_path):
    done = tissuemake("pretrain", str(tmp_path / "reference.h5ad"), "-o", str(tmp_path / "model"))
    assert done.returncode == 1
    assert "reference.h5ad does not exist" in done.stderr and "tissuemake reference" in done.stderr


def test_encoders_are_listed_with_what_may_be_done_with_them():
    lines = tissuemake("encoders").stdout.splitlines()
    assert [line.split()[0] for line in lines][:3] == ["color", "resnet50", "phikon"]
    uni = next(line for line in lines if line.startswith("uni "))
    assert "non-commercial" in uni and "gated" in uni and "MahmoodLab/UNI" in uni


def test_a_checkpoint_that_is_none_is_one_message(tmp_path):
    done = tissuemake("import-checkpoint", str(tmp_path / "vit.pth"), "-o", str(tmp_path / "model"))
    assert done.returncode == 1
    assert "vit.pth" in done.stderr and "remedy:" in done.stderr and "Traceback" not in done.stderr


def test_a_table_is_rolled_up_to_a_level_it_names(tmp_path):
    table = pd.DataFrame({"CD4": [0.25, 0.5], "CD8": [0.75, 0.5]}, index=["s1", "s2"])
    record = {"method": "nnls", "hierarchy": {"family": {"CD4": "T", "CD8": "T"}}}
    write_table(table, tmp_path / "p.parquet", PROPORTIONS, record)
    arguments = ("roll-up", str(tmp_path / "p.parquet"), "-o", str(tmp_path / "r.parquet"), "--level")
    done = tissuemake(*arguments, "family")
    assert done.returncode == 0, done.stderr
    assert read_table(tmp_path / "r.parquet", PROPORTIONS)["T"].tolist() == [1.0, 1.0]
    done = tissuemake(*arguments, "families")
    assert done.returncode == 1
    assert "family" in done.stderr and "remedy:" in done.stderr and "Traceback" not in done.stderr


def test_tiles_overlap_are_normalised_and_cut_by_several_as_asked(tmp_path):
    """Beside the same call without the options; what cannot be done is one message."""
    ingested = write_slide(tmp_path)
    arguments = ("tiles", str(ingested), "--size-um", "100", "--size-px", "50", "-o")
    options = ("--overlap", "0.5", "--stain-normalization", "reinhard", "--processes", "2")
    for name, added in (("plain", ()), ("asked", options)):
        done = tissuemake(*arguments, str(tmp_path / f"{name}.arrow"), *added)
        assert done.returncode == 0, done.stderr
    plain, asked = (TileStore(tmp_path / f"{name}.arrow") for name in ("plain", "asked"))
    grid = asked.table.query("kind == 'grid'")
    assert sorted(set(grid["x"].sort_values().diff().dropna()) - {0.0}) == [50.0]
    assert len(grid) > 3 * (plain.table["kind"] == "grid").sum()
    assert plain.provenance["stain_normalization"] == ""
    assert asked.provenance["stain_normalization"] == "reinhard"
    for option, value in (("--overlap", "1"), ("--stain-normalization", "x"), ("--processes", "0")):
        done = tissuemake(*arguments, str(tmp_path / "no.arrow"), option, value)
        assert done.returncode == 1 and not (tmp_path / "no.arrow").exists()
        assert "remedy:" in done.stderr and "Traceback" not in done.stderr, option


def test_steps_chain_from_folder_to_proportions(tmp_path):
    tissue, atlas = str(tmp_path / "tissue"), str(tmp_path / "atlas")
    ingested, filtered = str(tmp_path / "ingested.h5ad"), str(tmp_path / "filtered.h5ad")
    visium, cells = f"{tissue}/visium", f"{tissue}/atlas.h5ad"
    steps = [
        ("simulate", tissue, "--spots", "120"),
        ("check", visium),
        ("ingest", visium, "-o", ingested),
        ("filter", ingested, "-o", filtered),
        ("reference", cells, "--label-key", "cell_type", "--organism", "human", "-o", atlas),
        ("deconvolve", filtered, "--reference", atlas, "-o", str(tmp_path / "nnls.parquet")),
        ("domains", filtered, "-o", str(tmp_path / "d.parquet")),
    ]
    for step in steps:
        done = tissuemake(*step)
        assert done.returncode == 0, (step, done.stdout, done.stderr[-2000:])
    assert (tmp_path / "nnls.parquet").is_file() and (tmp_path / "d.parquet").is_file()
