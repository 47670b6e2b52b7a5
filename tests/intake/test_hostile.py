"""A hostile drop folder: all of it is refused with a reason, nothing in it runs, nothing outside is read or written."""

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile

import whole_folders
from dropped_sections import section
from tissuemake.errors import InputError
from tissuemake.histology import jpeg_tiles
from tissuemake.histology.jpeg_tiles import JpegTiledSlide, jpeg_size
from tissuemake.histology.slide import open_slide
from tissuemake.ingest import images, open_reader
from tissuemake.intake import scan_inbox
from tissuemake.models.store import load_model
from tissuemake.raw_counts import read_spots
from tissuemake.sheets import Reference, Sample, read_samples
from tissuemake.unpack import unpack

MATRIX = "filtered_feature_bc_matrix.h5"


class Evil:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "run" / "config").mkdir(parents=True)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "outside.h5").write_bytes(b"secret")
    return tmp_path / "inbox"


@pytest.fixture
def low_limits(monkeypatch) -> None:
    """Limits low enough for bombs that a test can make; their ratios are those of real ones."""
    monkeypatch.setattr("tissuemake.packed.FREE_BYTES", 1 << 20)
    monkeypatch.setattr("tissuemake.packed.FREE_ROWS", 100_000)
    monkeypatch.setattr("tissuemake.pixel_limits.MOST_WHOLE_PIXELS", 100_000_000)


def scanned(inbox: Path) -> dict[str, str]:
    """What was left out of the box, by path, with its code; every reason has words."""
    result = scan_inbox(inbox, inbox.parent / "run", settle=0)
    assert not result.waiting and all(outcome.message for outcome in result.left_out)
    return {str(Path(outcome.path).relative_to(inbox)): outcome.code for outcome in result.left_out}


def rows(inbox: Path) -> dict[str, Sample]:
    path = inbox.parent / "run" / "config" / "samples.tsv"
    return read_samples(path).rows if path.exists() else {}


# What leads out of the box.


@pytest.mark.parametrize("what", [MATRIX, "spatial/tissue_positions.csv", "analysis"])
def test_a_sample_with_a_link_out_of_the_box_is_refused(inbox, what):
    outs = section(inbox / "sample", 1)
    (outs / what).unlink(missing_ok=True)
    (outs / what).symlink_to(inbox.parent / ("run" if what == "analysis" else "outside.h5"))
    assert scanned(inbox)["sample/outs"] == "link_out_of_inbox" and not rows(inbox)


def test_links_to_folders_outside_loops_and_links_to_nowhere_are_not_followed(inbox):
    section(inbox.parent / "elsewhere", 1)
    section(inbox / "sample", 2)
    (inbox / "door").symlink_to(inbox.parent / "elsewhere")
    (inbox / "etc").symlink_to("/etc")
    (inbox / "loop").symlink_to(inbox)
    (inbox / "nowhere").symlink_to(inbox / "gone")
    (inbox / "sample" / "pyramid.tif").symlink_to("/etc/passwd")
    left = scanned(inbox)
    assert {left[name] for name in ("door", "etc", "sample/pyramid.tif")} == {"link_out_of_inbox"}
    assert left["nowhere"] == "broken_link" and list(rows(inbox)) == ["sample"]


@pytest.mark.parametrize(
    "name", ["$HOME", "{wildcard}", "tab\tin", "line\nbreak", " blank", "x" * 201, "bell\x07", "next\x85line"]
)
def test_names_that_cannot_stand_in_a_sheet_are_refused(inbox, name):
    section(inbox / name, 1)
    section(inbox / "fine", 2)
    (code,) = scanned(inbox).values()
    assert code == "unfit_name" and list(rows(inbox)) == ["fine"]


def test_names_that_are_not_utf8_are_refused(inbox):
    Path(os.fsdecode(os.fsencode(inbox) + b"/caf\xe9")).mkdir()
    section(inbox / "fine", 2)
    result = scan_inbox(inbox, inbox.parent / "run", settle=0)
    assert [outcome.code for outcome in result.left_out] == ["unfit_name"] and list(rows(inbox)) == ["fine"]


def test_html_and_formulas_in_names_reach_the_sheet_as_paths_only(inbox):
    section(inbox / "<img src=x onerror=alert(1)>", 1)
    section(inbox / "=HYPERLINK(1)", 2)
    assert not scanned(inbox)
    assert sorted(rows(inbox)) == ["HYPERLINK-1", "img-src-x-onerror-alert-1"]
    for line in (inbox.parent / "run" / "config" / "samples.tsv").read_text().splitlines():
        assert not any(cell.startswith(tuple("=+-@")) for cell in line.split("\t"))


def test_a_pipe_and_a_tower_of_folders_do_not_hold_up_a_scan(inbox):
    os.mkfifo(inbox / "pipe.h5ad")
    (inbox / "/".join("d" * 20)).mkdir(parents=True)
    section(inbox / "fine", 1)
    assert sorted(scanned(inbox).values()) == ["no_plain_file", "too_deep"] and list(rows(inbox)) == ["fine"]


@pytest.mark.parametrize("stated", ["../outside.tif", "/etc/passwd", "$HOME", 7, None])
def test_a_bundle_that_states_an_image_outside_of_it_is_not_followed(tmp_path, stated):
    bundle = Path(whole_folders.xenium(tmp_path, np.eye(3))["path"])
    whole_folders.write_image(tmp_path / "outside.tif")
    (bundle / "experiment.xenium").write_text(json.dumps({"images": {"morphology_focus_filepath": stated}}))
    assert open_reader(Sample("x", "xenium", str(bundle))).morphology is None


@pytest.mark.parametrize(
    "text", ["[]", "7", '{"pixel_size": 0}', '{"pixel_size": "a"}', '{"pixel_size": NaN}']
)
def test_a_bundle_that_states_nonsense_is_refused(inbox, text):
    bundle = Path(whole_folders.xenium(inbox / "sample", np.eye(3))["path"])
    (bundle / "experiment.xenium").write_text(text)
    assert scanned(inbox)["sample/bundle"] == "bad_experiment" and not rows(inbox)


# HDF5 that reads other files, or unfolds out of nothing.


def foreign_link(handle: h5py.File, outside: Path) -> None:
    handle["matrix/data"] = h5py.ExternalLink(str(outside), "/data")


def foreign_storage(handle: h5py.File, outside: Path) -> None:
    handle["matrix"].create_dataset("data", (6,), "u1", external=[(str(outside), 0, h5py.h5f.UNLIMITED)])


def foreign_view(handle: h5py.File, outside: Path) -> None:
    layout = h5py.VirtualLayout((6,), "u1")
    layout[:] = h5py.VirtualSource(str(outside), "data", (6,))
    handle["matrix"].create_virtual_dataset("data", layout)


def out_of_nothing(handle: h5py.File, outside: Path) -> None:
    handle["matrix"].create_dataset("data", (1 << 40,), "i4", chunks=(1 << 20,), compression="gzip")


def objects(handle: h5py.File, outside: Path) -> None:
    handle["matrix"].create_dataset("data", (6,), h5py.string_dtype())


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (foreign_link, "unsafe_hdf5"),
        (foreign_storage, "unsafe_hdf5"),
        (foreign_view, "unsafe_hdf5"),
        (out_of_nothing, "decompression_bomb"),
        (objects, "unreadable_matrix"),
    ],
)
def test_a_matrix_that_is_not_its_own_is_refused(inbox, spoil: Callable, code):
    outs = section(inbox / "sample", 1)
    with h5py.File(outs / MATRIX, "a") as handle:
        del handle["matrix/data"]
        spoil(handle, inbox.parent / "outside.h5")
    assert scanned(inbox)["sample/outs"] == code and not rows(inbox)


@pytest.mark.parametrize("where", ["obs/_index", "obs/labels", "uns/spatial", "layers/counts"])
def test_an_h5ad_of_objects_and_pickles_is_refused_and_runs_nothing(inbox, tmp_path, where):
    path, mark = Path(whole_and_placed(inbox / "cells.h5ad")), tmp_path / "ran"
    with h5py.File(path, "a") as handle:
        if where in handle:
            del handle[where]
        if where == "uns/spatial":
            handle[where] = np.void(pickle.dumps(Evil(mark)))
        elif where == "layers/counts":
            handle[where] = h5py.ExternalLink(str(tmp_path / "outside.h5"), "/x")
        else:
            handle.create_dataset(where, (36,), h5py.vlen_dtype(np.uint8))[0] = np.frombuffer(
                b"pickle", np.uint8
            )
    assert scanned(inbox) == {"cells.h5ad": "unsafe_hdf5"} and not rows(inbox)
    with pytest.raises(InputError) as caught:
        read_spots(path)
    assert caught.value.code == "unsafe_hdf5" and not mark.exists()


def whole_and_placed(path: Path) -> str:
    adata = ad.AnnData(
        whole_folders.counts(), var=pd.DataFrame(index=whole_folders.genes()["name"].to_numpy())
    )
    adata.obsm["spatial"] = whole_folders.spots()[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    adata.write_h5ad(path)
    return str(path)


def test_an_atlas_that_reads_other_files_is_refused(tmp_path):
    from tissuemake.quality.reference_peek import peek
    from tissuemake.reference.counts import read_counts

    row = whole_folders.atlas(tmp_path / "atlas")
    with h5py.File(row["path"], "a") as handle:
        handle["uns/more"] = h5py.ExternalLink(str(tmp_path / "outside.h5"), "/x")
    with pytest.raises(InputError, match="link into another file"):
        peek(Reference(**row))
    with pytest.raises(InputError, match="link into another file"):
        read_counts(row["path"])


# Pickles.


@pytest.mark.parametrize(
    "codec", [{"compressor": {"id": "pickle"}}, {"filters": [{"id": "delta"}, {"id": "pickle"}]}]
)
def test_a_zarr_whose_codec_is_a_pickle_is_refused_and_runs_nothing(inbox, tmp_path, codec):
    mark, index = tmp_path / "ran", inbox / "store.zarr" / "tables" / "table" / "obs" / "_index"
    index.mkdir(parents=True)
    (inbox / "store.zarr" / ".zgroup").write_text('{"zarr_format": 2}')
    array = {"chunks": [3], "shape": [3], "dtype": "<i4", "fill_value": 0, "order": "C", "zarr_format": 2}
    (index / ".zarray").write_text(json.dumps({**array, "compressor": None, "filters": None, **codec}))
    (index / "0").write_bytes(pickle.dumps(Evil(mark)))
    assert scanned(inbox)["store.zarr"] == "pickle_refused" and not mark.exists()


@pytest.mark.parametrize("name", ["weights.pkl", "model.safetensors"])
def test_pickles_in_a_model_folder_are_refused_and_run_nothing(tmp_path, name):
    """Beside everything that a model has, and under the name of its weights."""
    mark, folder = tmp_path / "ran", tmp_path / "model"
    folder.mkdir()
    content = pickle.dumps(Evil(mark))
    (folder / "model.safetensors").write_bytes(b"")
    (folder / name).write_bytes(content)
    config = {
        "kind": "sparank",
        "format": 1,
        "weights": {"sha256": __import__("hashlib").sha256(content).hexdigest()},
    }
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError) as caught:
        load_model(folder)
    assert caught.value.code == ("pickle_refused" if name.endswith("pkl") else "unreadable_model")
    assert not mark.exists()


# Archives.


def tar_with(name: str, path: Path, link: str = "") -> Path:
    with tarfile.open(path, "w:gz") as handle:
        member = tarfile.TarInfo(name)
        if link:
            member.type, member.linkname = tarfile.SYMTYPE, link
        handle.addfile(member, io.BytesIO(b""))
    return path


def zip_with(name: str, path: Path, mb: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as handle, handle.open(name, "w") as member:
        for _ in range(mb):
            member.write(bytes(1 << 20))
    return path


def tar_of_zeros(path: Path, mb: int) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as handle:
        member = tarfile.TarInfo("zeros")
        member.size = mb << 20
        handle.addfile(member, io.BufferedReader(Zeros()))
    return path


class Zeros(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        buffer[:] = bytes(len(buffer))
        return len(buffer)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda folder: zip_with("../x", folder / "a.zip"), "unsafe_archive"),
        (lambda folder: zip_with("/x", folder / "a.zip"), "unsafe_archive"),
        (lambda folder: tar_with("../x", folder / "a.tar.gz"), "unsafe_archive"),
        (lambda folder: tar_with("x", folder / "a.tar.gz", link="../../x"), "unsafe_archive"),
        (lambda folder: zip_with("zeros", folder / "a.zip", mb=8), "decompression_bomb"),
        (lambda folder: tar_of_zeros(folder / "a.tar.gz", mb=8), "decompression_bomb"),
    ],
)
@pytest.mark.usefixtures("low_limits")
def test_archives_that_leave_their_folder_or_unfold_too_far_leave_nothing(tmp_path, make, code):
    (tmp_path / "target").mkdir()
    with pytest.raises(InputError) as caught:
        unpack(make(tmp_path), tmp_path / "target")
    assert caught.value.code == code and not any((tmp_path / "target").iterdir())
    assert not (tmp_path / "x").exists()


@pytest.mark.usefixtures("low_limits")
def test_a_packed_store_that_leaves_its_folder_or_unfolds_too_far_is_refused(inbox):
    zip_with("../../x", inbox / "slip.zarr.zip")
    zip_with("zeros", inbox / "bomb.zarr.zip", mb=8)
    (inbox / "later.tar.gz").write_bytes(b"")
    left = scanned(inbox)
    assert left == {
        "slip.zarr.zip": "unsafe_archive",
        "bomb.zarr.zip": "decompression_bomb",
        "later.tar.gz": "packed",
    }


# Pictures and tables that unfold.


def png_bomb(path: Path, side: int = 12_000) -> Path:
    """One bit a pixel, all zero: 20 kB that are 430 MB of RGB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join([packer.compress(bytes(1 + side // 8)) for _ in range(side)] + [packer.flush()])
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def tiff_bomb(path: Path, side: int = 60_000) -> Path:
    """A small strip that says it is 60,000 pixels wide and high."""
    tifffile.imwrite(
        path, np.zeros((64, 64, 3), np.uint8), photometric="rgb", compression="deflate", metadata=None
    )
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tiff.pages[0].tags[name].overwrite(side)
    return path


@pytest.mark.parametrize("read", [images.load_image, images.thumbnail, open_slide])
@pytest.mark.parametrize("make", [png_bomb, tiff_bomb])
@pytest.mark.usefixtures("low_limits")
def test_pictures_that_unfold_are_refused_by_their_header(tmp_path, make, read):
    with pytest.raises(InputError) as caught:
        read(make(tmp_path / "bomb.img"))
    assert caught.value.code == "picture_too_large" and "gigapixels" in caught.value.message


def test_a_tile_larger_than_its_slide_says_is_not_decoded(tmp_path, monkeypatch):
    """The header of one tile states 65,500 pixels a side."""
    path = tmp_path / "slide.tif"
    tifffile.imwrite(
        path, np.zeros((256, 256, 3), np.uint8), tile=(256, 256), photometric="rgb", compression="jpeg"
    )
    with JpegTiledSlide(path) as slide:
        offset, size = slide.levels[0].offsets.item(0, 0), slide.levels[0].sizes.item(0, 0)
    content = bytearray(path.read_bytes())
    assert jpeg_size(bytes(content[offset : offset + size])) == (256, 256)
    start = content.index(b"\xff\xc0", offset)
    content[start + 5 : start + 9] = struct.pack(">HH", 65_500, 65_500)
    path.write_bytes(content)
    unbounded, decode = [], jpeg_tiles.jpeg8_decode
    monkeypatch.setattr(
        jpeg_tiles, "jpeg8_decode", lambda *a, **k: decode(*a, **k) if "out" in k else unbounded.append(k)
    )
    with JpegTiledSlide(path) as slide, pytest.raises(InputError):
        slide.read_level(0, 0, 0, 256, 256)
    assert not unbounded


@pytest.mark.usefixtures("low_limits")
def test_a_bomb_beside_a_sample_is_not_its_image(inbox):
    section(inbox / "sample", 1)
    png_bomb(inbox / "sample" / "slide2.png")
    png_bomb(inbox / "sample" / "outs" / "spatial" / "tissue_hires_image.png")
    assert not rows(inbox)
    result = scan_inbox(inbox, inbox.parent / "run", settle=0)
    reasons = " ".join(outcome.message for outcome in result)
    assert "gigapixels" in reasons and all(not outcome.row.get("image") for outcome in result)


def gz_bomb(path: Path, head: str, mb: int = 8) -> Path:
    with gzip.open(path, "wb", compresslevel=6) as handle:
        handle.write(head.encode())
        for _ in range(mb):
            handle.write(b"\n" * (1 << 20))
    return path


def st_table(folder: Path) -> Sample:
    head = "\t" + "\t".join(f"GENE{i}" for i in range(60)) + "\n" + "\t".join(["1x1", *["1"] * 60]) + "\n"
    return Sample("x", "st", str(gz_bomb(folder / "counts.tsv.gz", head)))


def positions_table(folder: Path) -> Sample:
    outs = Path(whole_folders.visium(folder)["path"])
    text = (outs / "spatial" / "tissue_positions.csv").read_text()
    (outs / "spatial" / "tissue_positions.csv").unlink()
    gz_bomb(outs / "spatial" / "tissue_positions.csv.gz", text)
    return Sample("x", "visium", str(outs))


def matrix_market(folder: Path) -> Sample:
    outs = Path(whole_folders.visium(folder)["path"])
    (outs / MATRIX).unlink()
    triple = outs / "filtered_feature_bc_matrix"
    triple.mkdir()
    gz_bomb(triple / "matrix.mtx.gz", "%%MatrixMarket matrix coordinate integer general\n%\n")
    for name in ("features", "barcodes"):
        (triple / f"{name}.tsv").write_text("a\n")
    return Sample("x", "visium", str(outs))


@pytest.mark.parametrize("make", [st_table, positions_table, matrix_market])
@pytest.mark.usefixtures("low_limits")
def test_gz_that_unfolds_is_stopped_while_it_is_read(tmp_path, make):
    with pytest.raises(InputError) as caught:
        open_reader(make(tmp_path)).read()
    assert caught.value.code == "decompression_bomb" and "unfolds into" in caught.value.message


@pytest.mark.usefixtures("low_limits")
def test_a_parquet_of_more_rows_than_bytes_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    outs = Path(whole_folders.visium(tmp_path)["path"])
    (outs / "spatial" / "tissue_positions.csv").unlink()
    zeros = pa.array(np.zeros(200_000, np.int8))
    pq.write_table(pa.table({"in_tissue": zeros}), outs / "spatial" / "tissue_positions.parquet")
    with pytest.raises(InputError) as caught:
        open_reader(Sample("x", "visium", str(outs))).positions()
    assert caught.value.code == "decompression_bomb" and "200,000 rows" in caught.value.message


# What vendors and sheets say of themselves.

SCRIPT = "<script>alert(1)</script>"


def test_html_in_metadata_is_text_in_the_page_and_formulas_are_text_in_tables(tmp_path):
    """Software and chemistry as the matrix states them; tissue and donor as the sheet does."""
    from tissuemake.quality.check import check_sample
    from tissuemake.reporting.cohort_page import report_cohort

    outs = Path(whole_folders.visium(tmp_path / "vendor")["path"])
    with h5py.File(outs / MATRIX, "a") as handle:
        handle.attrs["software_version"] = handle.attrs["chemistry_description"] = SCRIPT
    row = Sample("sample", "visium", str(outs), tissue=f"=cmd|'{SCRIPT}'!A0", donor="@SUM(1)")
    check_sample(row, tmp_path / "check.json")
    assert SCRIPT in (tmp_path / "check.json").read_text()
    page, table = tmp_path / "report" / "index.html", tmp_path / "report" / "quality.tsv"
    report_cohort(
        checks={"sample": tmp_path / "check.json"}, rejected={}, rows={"sample": row.as_dict()}, evaluations=[],
        filtered={}, proportions={}, imputed={}, domains={}, output=page, quality=table,
    )  # fmt: skip
    assert "<script>alert" not in page.read_text()
    cells = table.read_text().splitlines()[1].split("\t")
    assert any(cell.startswith("'=cmd") for cell in cells) and "'@SUM(1)" in cells
    assert not any(cell.startswith(("=", "@")) for cell in cells)


def test_groups_of_cells_for_a_spreadsheet_hold_no_formula(tmp_path):
    from tissuemake.delimited import no_formula

    given = pd.Series(["=1+1", "+1", "-1", "@x", "T cell", "a=b", ""])
    assert list(no_formula(given)) == ["'=1+1", "'+1", "'-1", "'@x", "T cell", "a=b", ""]
