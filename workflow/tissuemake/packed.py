"""Ground floor: what is packed unfolds into no more than its kind ever does: gzip and zip from a stranger."""

import gzip
import io
import zipfile
from pathlib import Path
from typing import BinaryIO

from tissuemake.errors import InputError

# Tables of counts pack to a tenth, the emptiest to a fiftieth; what gzip packs to a thousandth holds nothing.
FREE_BYTES = 1 << 28
MOST_RATIO = 100
MOST_MEMBERS = 1_000_000
FREE_ROWS = 10_000_000


def most_bytes(packed: int) -> int:
    """Bytes into which `packed` bytes may unfold."""
    return max(FREE_BYTES, MOST_RATIO * packed)


def open_table(path: str | Path) -> BinaryIO:
    """Open a table for reading as bytes, unpacked while it is read where its name ends in ``.gz``.

    Raises
    ------
    InputError
        ``decompression_bomb`` while reading, when more comes out than `most_bytes` allows.
    """
    path = Path(path)
    if path.suffix != ".gz":
        return path.open("rb")
    return io.BufferedReader(_Counted(path), buffer_size=1 << 20)


class _Counted(io.RawIOBase):
    """A gzip stream that stops when too much comes out of it."""

    def __init__(self, path: Path) -> None:
        self.path, self.done = path, 0
        self.limit = most_bytes(path.stat().st_size)
        self.stream = gzip.GzipFile(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        count = self.stream.readinto(buffer)
        self.done += count
        if self.done > self.limit:
            raise bomb(self.path, self.done)
        return count

    def close(self) -> None:
        self.stream.close()
        super().close()


def check_zip(handle: zipfile.ZipFile, path: Path) -> None:
    """Raise ``decompression_bomb`` for a zip that says it holds too much; more than it says never comes out."""
    members = handle.infolist()
    held = sum(member.file_size for member in members)
    if len(members) > MOST_MEMBERS or held > most_bytes(path.stat().st_size):
        raise bomb(path, held)


def bomb(path: Path, held: int) -> InputError:
    """The error for a file that unfolds into more than `held` bytes."""
    size = path.stat().st_size
    return InputError(
        "decompression_bomb",
        f"{path} has {size / 1e6:.3g} MB and unfolds into {held / 1e6:,.0f} MB or more: no data pack so well.",
        "Do not use it. If you trust it, unpack it by hand and give the unpacked file.",
    )


def check_parquet(path: Path) -> None:
    """Raise ``decompression_bomb`` for a parquet table of more rows than it has bytes; damage is the reader's word."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowException):
        return
    if rows > max(FREE_ROWS, path.stat().st_size):
        raise InputError(
            "decompression_bomb",
            f"{path} says {rows:,} rows in {path.stat().st_size:,} bytes: no data pack so well.",
            "Do not use it; ask where it came from.",
        )
