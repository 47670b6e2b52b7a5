"""Archives, pictures and tables that leave their folder or unfold too far are stopped, and leave nothing."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

import whole_folders
from dropped_sections import section
from intake.hostile import MATRIX, rows, scanned
from tissuemake.errors import InputError
from tissuemake.histology import jpeg_tiles
from tissuemake.histology.jpeg_tiles import JpegTiledSlide, jpeg_size
from tissuemake.histology.slide import open_slide
from tissuemake.ingest import images, open_reader
from tissuemake.intake import scan_inbox
from tissuemake.sheets import Sample
from tissuemake.unpack import unpack

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
