"""What lies in a drop folder is recognised by its content: any depth, other names, every platform."""

import gzip
import shutil
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import tifffile

import whole_folders
from dropped_sections import section
from tissuemake.ingest import open_reader
from tissuemake.intake.beside import Beside
from tissuemake.intake.candidates import find_candidates
from tissuemake.intake.naming import propose_name, unique
from tissuemake.intake.pictures import is_picture
from tissuemake.intake.scan import scan_inbox
from tissuemake.intake.spot_tables import find_arrays, kind_of_table
from tissuemake.intake.tissues import MARKERS, guess_tissue
from tissuemake.intake.walk import walk_inbox
from tissuemake.sheets import Sample


def found(inbox: Path) -> dict[str, tuple[str, str]]:
    """Assay and bin of what is recognised, by its path below the box."""
    candidates, loose = find_candidates(walk_inbox(inbox))
    candidates += find_arrays(loose)[0]
    return {str(each.path.relative_to(inbox)): (each.assay, each.bin_um) for each in candidates}


def test_sections_under_prefixes_in_one_folder_are_told_apart(tmp_path):
    """As GEO hands them out: everything in one folder, each file with its sample's name."""
    for prefix, number in (("GSM1_", 1), ("GSM2_", 2)):
        outs = section(tmp_path / prefix, number)
        (tmp_path / "box").mkdir(exist_ok=True)
        for name in (
            "filtered_feature_bc_matrix.h5",
            "spatial/tissue_positions.csv",
            "spatial/scalefactors_json.json",
        ):
            shutil.copyfile(outs / name, tmp_path / "box" / f"{prefix}{Path(name).name}")
    assert set(found(tmp_path / "box")) == {f"GSM{i}_filtered_feature_bc_matrix.h5" for i in (1, 2)}
    (tmp_path / "run" / "config").mkdir(parents=True)
    result = scan_inbox(tmp_path / "box", tmp_path / "run", settle=0)
    assert [outcome.sample for outcome in result.taken] == ["GSM1", "GSM2"]


def test_a_matrix_under_another_name_is_known_by_what_is_in_it(tmp_path):
    outs = Path(whole_folders.visium(tmp_path / "a")["path"])
    (outs / "filtered_feature_bc_matrix.h5").rename(outs / "my counts.h5")
    assert found(tmp_path) == {"a/outs/my counts.h5": ("visium", "")}


def test_every_platform_is_found_at_any_depth(tmp_path):
    deep = tmp_path / "2026" / "week 47" / "run"
    whole_folders.visium(deep / "vis")
    whole_folders.xenium(deep / "xen", np.eye(3))
    for size in (2, 16):
        bins = deep / "hd" / "outs" / "binned_outputs" / f"square_{size:03d}um"
        bins.mkdir(parents=True)
        (bins / "filtered_feature_bc_matrix.h5").touch()
    (deep / "cells.h5ad").touch()
    (deep / "store.zarr").mkdir()
    (deep / "packed.zarr.zip").touch()
    (deep / "spatial").mkdir()  # a folder of that name alone makes no section of what lies beside it
    prefix = "2026/week 47/run"
    assert found(tmp_path) == {
        f"{prefix}/vis/outs": ("visium", ""),
        f"{prefix}/xen/bundle": ("xenium", ""),
        f"{prefix}/hd/outs": ("visium_hd", "16"),
        f"{prefix}/cells.h5ad": ("h5ad", ""),
        f"{prefix}/store.zarr": ("spatialdata", ""),
        f"{prefix}/packed.zarr.zip": ("spatialdata", ""),
    }


def test_a_bundle_whose_files_carry_a_prefix_is_read(tmp_path):
    """As GEO hands it out: ``GSM1_cells.parquet`` beside ``GSM1_cell_feature_matrix.h5``."""
    bundle = Path(whole_folders.xenium(tmp_path / "GSM1", np.eye(3))["path"])
    (bundle / "experiment.xenium").write_text('{"pixel_size": 0.5}')
    for path in list(bundle.iterdir()):
        path.rename(bundle / f"GSM1_{path.name}")
    assert found(tmp_path) == {"GSM1/bundle": ("xenium", "")}
    reader = open_reader(Sample("x", "xenium", str(bundle)))
    assert reader.microns_per_pixel() == 0.5 and len(reader.read()) == 36 and len(reader.files()) == 3
    (bundle / "GSM2_cells.parquet").touch()
    (bundle / "GSM2_cell_feature_matrix.h5").touch()
    assert "GSM1/bundle" not in found(tmp_path)


SPOTS = "x\ty\tnew_x\tnew_y\tpixel_x\tpixel_y\tselected\n3\t4\t3.1\t4.1\t310\t410\t1\n5\t6\t5.1\t6.1\t510\t610\t1\n"
GENES = "\t".join(f"GENE{i}" for i in range(60))


def row(name: str, value: str) -> str:
    return "\t".join([name, *[value] * 60])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (SPOTS, "spots"),
        (f"\t{GENES}\n{row('3x4', '2')}\n{row('5x6', '0')}\n", "counts"),
        (f"{GENES}\n{row('X3x4', '2')}\n{row('X5x6', '0')}\n", "counts"),
        ("gene\t3x4\t5x6\nGENE1\t1\t2\n", "counts"),
        (f"\t{GENES}\n{row('3x4', '0.2')}\n", "by spot"),
        ("\tlabel\n3x4\ttumour\n", "by spot"),
        ("gene_id\tname\nENSG1\tx\n", ""),
        ("", ""),
    ],
)
def test_tables_are_told_by_their_first_rows(tmp_path, text, kind):
    (tmp_path / "t.tsv").write_text(text)
    assert kind_of_table(tmp_path / "t.tsv") == kind
    (tmp_path / "t.tsv.gz").write_bytes(gzip.compress(text.encode()))
    assert kind_of_table(tmp_path / "t.tsv.gz") == kind


def test_counts_find_their_spot_files_and_images_by_the_words_of_their_names(tmp_path):
    """Also where an image's name holds the word of another section, not at its beginning."""
    for folder in ("counts", "spots", "images"):
        (tmp_path / "st" / folder).mkdir(parents=True)
    for name in ("C3", "D1", "E9"):
        (tmp_path / "st" / "counts" / f"{name}.tsv").write_text(
            f"\t{GENES}\n{row('3x4', '2')}\n{row('5x6', '1')}\n"
        )
    for name in ("C3", "D1"):
        (tmp_path / "st" / "spots" / f"{name}_selection.tsv").write_text(SPOTS)
    (tmp_path / "st" / "images" / "C3_5714_HE_BT_D1.jpg").touch()
    candidates, loose = find_candidates(walk_inbox(tmp_path))
    arrays, tables = find_arrays(loose)
    spots = {each.stem: Path(each.spots).name for each in arrays}
    assert spots == {"C3": "C3_selection.tsv", "D1": "D1_selection.tsv", "E9": ""} and not candidates
    assert set(tables.values()) == {"spots"}
    images = [each.entry for each in loose if is_picture(each.entry.path)]
    beside = Beside(images, arrays)
    assert {each.stem: len(beside.of(each)) for each in arrays} == {"C3": 1, "D1": 0, "E9": 0}


def test_an_image_that_the_positions_do_not_fit_is_not_proposed(tmp_path):
    (tmp_path / "run" / "config").mkdir(parents=True)
    folder = tmp_path / "box" / "sample"
    whole_folders.visium(folder)
    tifffile.imwrite(folder / "slide.tif", np.zeros((300, 200, 3), np.uint8))
    (taken,) = scan_inbox(tmp_path / "box", tmp_path / "run", settle=0, dry_run=True).taken
    assert (
        taken.row["image"] == ""
        and "slide.tif was not taken" in taken.message
        and "200 × 300" in taken.message
    )
    shutil.copyfile(whole_folders.visium(tmp_path / "other")["image"], folder / "scan.tif")
    (taken,) = scan_inbox(tmp_path / "box", tmp_path / "run", settle=0, dry_run=True).taken
    assert taken.row["image"].endswith("scan.tif")
    shutil.copyfile(folder / "scan.tif", folder / "scan2.tif")
    (taken,) = scan_inbox(tmp_path / "box", tmp_path / "run", settle=0, dry_run=True).taken
    assert taken.row["image"] == "" and "2 images fit" in taken.message


@pytest.mark.parametrize(
    ("home", "stem", "name"),
    [
        ("run7/outs", "", "run7"),
        ("a/Müller & Söhne/outs", "", "Muller-Sohne"),
        ("project/S1", "", "project_S1"),
        ("st/counts", "A1", "A1"),
        ("her2/counts", "A1", "her2_A1"),
        ("=1+cmd|' C calc'!A0", "", "1-cmd-C-calc-A0"),
        ("<b>bold", "", "b-bold"),
        ("日本", "", "sample"),
        ("x" * 150, "", "x" * 48),
        ("", "counts", "box"),
    ],
)
def test_names_are_safe_and_say_whose_it_is(tmp_path, home, stem, name):
    assert propose_name(tmp_path / "box" / home, tmp_path / "box", stem) == name
    assert unique(name, {name.upper(), f"{name}_2"}) == f"{name}_3"


def test_tissue_is_told_by_genes_that_few_others_transcribe():
    genes = [f"G{i}" for i in range(400)] + ["ALB", "APOA1", "APOA2", "TTR", "SERPINA1", "HP", "FGA"]
    profile = pd.Series(np.r_[np.linspace(0.01, 1, 400), np.full(7, 3.0)], index=genes)
    guess = guess_tissue(profile)
    assert (guess.value, guess.sure) == ("liver", "sure") and "7 markers" in guess.why
    mouse = guess_tissue(profile.rename(str.capitalize))
    assert mouse == guess
    assert guess_tissue(profile.iloc[:400]).value == ""
    assert guess_tissue(profile.where(profile < 3, 0.5)).value == ""


def test_real_data_is_recognised_or_left_out_with_a_reason(data_dir, tmp_path):
    """The quick half of the shared data: what every row and reason should be."""
    box, run = tmp_path / "box", tmp_path / "run"
    (run / "config").mkdir(parents=True)
    box.mkdir()
    for name in ("visium", "visium_hd", "xenium", "st_mob_2k", "deconv_pairs", "wsi"):
        shutil.copytree(data_dir / name, box / name)
    result = scan_inbox(box, run, settle=0)
    rows = {outcome.sample: outcome for outcome in result.taken}
    assert {name: outcome.assay for name, outcome in rows.items()} == {
        "breast_cancer_338spots": "visium",
        "scanpy_human_100x100": "visium",
        "seurat_mouse_brain_100genes": "visium",
        "sample01": "visium",
        "sample02": "visium",
        "section1": "visium",
        "crc_p2_region_a": "visium_hd",
        "crc_p2_region_b_top": "visium_hd",
        "human_526cells_bundle": "xenium",
        "mouse_brain_coronal_left_half": "xenium",
        "mouse_brain_multisection_tiny_sample1": "xenium",
        "st_mob_2k_MOB1": "st",
        "st_mob_2k_MOB2": "st",
    }
    assert {
        name: outcome.row["organism"] for name, outcome in rows.items() if "mouse" in name or "MOB" in name
    } == {name: "mouse" for name in rows if "mouse" in name or "MOB" in name}
    assert rows["crc_p2_region_a"].row["bin_um"] == "16" and rows["crc_p2_region_b_top"].row["bin_um"] == "8"
    assert rows["st_mob_2k_MOB1"].row["spots"].endswith("alignment_table_MOB1.tsv")
    assert rows["st_mob_2k_MOB2"].row["image"].endswith("MOB2.jpg")
    assert rows["breast_cancer_338spots"].row["tissue"] == "breast"
    assert rows["mouse_brain_coronal_left_half"].row["tissue"] == "brain"
    reasons = {str(Path(outcome.path).relative_to(box)): outcome.code for outcome in result.left_out}
    assert reasons["visium/spe_two_sections/section2/outs"] == "duplicate"
    assert reasons["deconv_pairs/slideseq_rctd_vignette/puck"] == "unnamed_table"
    assert reasons["wsi"] == "image_alone" and all(outcome.message for outcome in result.left_out)
    assert not result.waiting


def test_of_the_references_the_one_of_the_samples_tissue_is_proposed(tmp_path):
    """A liver section, and atlases of a liver, of a pancreas and of a mouse's liver; all share most genes."""
    markers = {"liver": MARKERS["liver"].split(), "pancreas": MARKERS["pancreas"].split()}
    genes = [f"GENE{i}" for i in range(300)] + markers["liver"] + markers["pancreas"]

    def write(path: Path, tissue: str, *, rename: str = "") -> Path:
        rate = np.r_[
            np.linspace(0.1, 8, 300), [20 if name in markers[tissue] else 0.01 for name in genes[300:]]
        ]
        names = [name.capitalize() for name in genes] if rename else genes
        adata = ad.AnnData(
            np.random.default_rng(len(tissue)).poisson(rate, (40, len(genes))).astype(np.float32)
        )
        adata.var_names = names
        adata.obs["cell_type"] = [f"type{i % 2}" for i in range(40)]
        adata.write_h5ad(path)
        return path

    (tmp_path / "run" / "config").mkdir(parents=True)
    (tmp_path / "box").mkdir()
    lines = ["reference\tpath\tlabel_key\torganism"]
    for name, tissue, organism in (
        ("of-pancreas", "pancreas", "human"), ("of-liver", "liver", "human"), ("of-mouse", "liver", "mouse")
    ):  # fmt: skip
        path = write(tmp_path / f"{name}.h5ad", tissue, rename="" if organism == "human" else "mouse")
        lines.append(f"{name}\t{path}\tcell_type\t{organism}")
    (tmp_path / "run" / "config" / "references.tsv").write_text("\n".join(lines) + "\n")
    section = ad.read_h5ad(write(tmp_path / "box" / "section.h5ad", "liver"))
    section.obsm["spatial"] = np.random.default_rng(0).uniform(0, 900, (40, 2))
    section.write_h5ad(tmp_path / "box" / "section.h5ad")
    write(tmp_path / "box" / "cells.h5ad", "pancreas")
    result = scan_inbox(tmp_path / "box", tmp_path / "run", settle=0)
    (taken,) = result.taken
    assert {key: taken.row[key] for key in ("organism", "tissue", "reference")} == {
        "organism": "human", "tissue": "liver", "reference": "of-liver"
    }  # fmt: skip
    assert (
        taken.proposal["reference"]["sure"] == "sure"
        and "correlates by" in taken.proposal["reference"]["why"]
    )
    assert [outcome.code for outcome in result.left_out] == ["no_coordinates"]
