"""The file of a slide's tiles, an Arrow IPC file: the only way that pictures and their table are written and read.

Why this format is in README.md here. Without this package: ``pandas.read_feather``, ``polars.read_ipc`` or any Arrow
reader gives the table with a column ``jpeg`` of encoded pictures.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc

from tissuemake.contracts import TILES, read_table
from tissuemake.errors import InputError
from tissuemake.files import atomic

SCHEMA = pa.schema(
    {
        "tile": pa.string(),
        "kind": pa.string(),
        "x": pa.float64(),
        "y": pa.float64(),
        "size_px": pa.int32(),
        "size_um": pa.float64(),
        "mpp": pa.float64(),
        "tissue_fraction": pa.float32(),
        "focus": pa.float32(),
        "pen": pa.float32(),
        "fold": pa.float32(),
        "usable": pa.bool_(),
        "jpeg": pa.binary(),
    }
)
ROWS_IN_BATCH = 256
PROVENANCE = b"tissuemake"
JPEG_QUALITY = 90


class TileStore:
    """Tiles of one slide, any of them at any time.

    The file is mapped into memory: what is read are the pages of the tiles asked for, the system's cache holds them,
    and processes share them. An object may be used after a fork and may be pickled.

    Parameters
    ----------
    path
        What `tile_slide` wrote.

    Raises
    ------
    InputError
        ``unreadable_tiles`` for what is no tile file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._map = pa.memory_map(str(self.path))
            self._file = pa.ipc.open_file(self._map)
            batches = [self._file.get_batch(i) for i in range(self._file.num_record_batches)]
            pictures = [batch[TILES.pictures] for batch in batches]
        except (OSError, KeyError, pa.ArrowInvalid) as error:
            raise InputError(
                "unreadable_tiles",
                f"{self.path} is not a readable file of tiles ({error}).",
                f"Delete it and run again; {TILES.written_by} writes it.",
            ) from error
        sizes = np.array([batch.num_rows for batch in batches], np.int64)
        self._ends = sizes.cumsum()
        self._starts = self._ends - sizes
        self._pictures = [_bytes_of(column) for column in pictures]

    def __enter__(self) -> "TileStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getstate__(self) -> dict:
        return {"path": self.path}

    def __setstate__(self, state: dict) -> None:
        self.__init__(state["path"])

    @property
    def table(self) -> pd.DataFrame:
        """All columns but the picture, indexed by ``tile``, in the order of the file; read anew at each use."""
        return read_table(self.path, TILES)

    @property
    def provenance(self) -> dict:
        """What made the file; it stands with the last batch, because it ends with seconds and memory."""
        last = self._file.num_record_batches - 1
        metadata = self._file.get_batch_with_custom_metadata(last).custom_metadata if last >= 0 else None
        return json.loads((metadata or {}).get(PROVENANCE, b"{}"))

    def jpegs(self, rows: Sequence[int] | np.ndarray) -> list[bytes]:
        """The encoded pictures of `rows` (numbers from 0 in the order of the table), in the order asked for."""
        return [bytes(view) for view in self._views(rows)]

    def pixels(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The pictures of `rows` as uint8 (n, height, width, 3)."""
        views = self._views(rows)
        if not views:
            return np.empty((0, 0, 0, 3), np.uint8)
        first = decode_jpeg(views[0])
        pixels = np.empty((len(views), *first.shape), np.uint8)
        pixels[0] = first
        for picture, view in zip(pixels[1:], views[1:], strict=True):
            decode_jpeg(view, out=picture)
        return pixels

    def _views(self, rows: Sequence[int] | np.ndarray) -> list[memoryview]:
        rows = np.asarray(rows, np.int64).ravel()
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"{self.path} has rows 0 to {len(self) - 1}")
        found = []
        for row, batch in zip(
            rows.tolist(), np.searchsorted(self._ends, rows, "right").tolist(), strict=True
        ):
            offsets, data = self._pictures[batch]
            place = row - int(self._starts[batch])
            found.append(data[offsets[place] : offsets[place + 1]])
        return found

    def close(self) -> None:
        """Release the file."""
        self._pictures = []
        self._file = None
        self._map.close()


def _bytes_of(column: pa.BinaryArray) -> tuple[np.ndarray, memoryview]:
    """Where each value ends (one entry more than values), and the bytes of all of them, nothing copied."""
    _, ends, data = column.buffers()
    offsets = np.frombuffer(ends, np.int32)[column.offset : column.offset + len(column) + 1] if ends else []
    return offsets, memoryview(data if data is not None else b"").cast("B")


class TileWriter:
    """Writes a tile file batch by batch, in constant memory; to be used inside `tissuemake.files.atomic`."""

    def __init__(self, path: Path) -> None:
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, SCHEMA)

    def write(self, rows: pd.DataFrame) -> None:
        """Append `rows` with the columns of `SCHEMA`, best some hundred at once."""
        batch = pa.RecordBatch.from_pandas(rows, schema=SCHEMA, preserve_index=False)
        self._writer.write_batch(batch.replace_schema_metadata())

    def close(self, provenance: dict) -> None:
        """Finish the file with what made it."""
        nothing = pa.RecordBatch.from_pylist([], SCHEMA)
        self._writer.write_batch(nothing, custom_metadata={PROVENANCE: json.dumps(provenance).encode()})
        self._writer.close()
        self._file.close()


def write_tiles(
    path: str | Path, table: pd.DataFrame, pictures: Iterable[np.ndarray], provenance: dict | None = None
) -> None:
    """Write a small tile file at once: `table` indexed by ``tile``, and a uint8 (h, w, 3) picture per row.

    Columns that `table` lacks are filled as for sharp spot tiles of 112 µm that are all tissue.
    """
    pictures = list(pictures)
    rows = table.rename_axis(index="tile").reset_index()
    usual = {"kind": "spot", "x": 0.0, "y": 0.0, "size_px": [len(picture) for picture in pictures]}
    usual |= {"size_um": 112.0, "tissue_fraction": 1.0, "focus": 1.0, "pen": 0.0, "fold": 0.0, "usable": True}
    rows = rows.assign(**{name: value for name, value in usual.items() if name not in rows})
    if "mpp" not in rows:
        rows["mpp"] = rows["size_um"] / rows["size_px"]
    with atomic(path) as partial:
        writer = TileWriter(partial)
        for start in range(0, len(rows), ROWS_IN_BATCH):
            batch = slice(start, start + ROWS_IN_BATCH)
            writer.write(rows.iloc[batch].assign(jpeg=[encode_jpeg(picture) for picture in pictures[batch]]))
        writer.close(provenance or {})


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """A picture, uint8 (h, w, 3), as JPEG of quality 90 without colour subsampling."""
    return imagecodecs.jpeg8_encode(pixels, level=JPEG_QUALITY, subsampling="444")


def decode_jpeg(jpeg: bytes | memoryview, out: np.ndarray | None = None) -> np.ndarray:
    """A JPEG as uint8 (h, w, 3)."""
    return imagecodecs.jpeg8_decode(jpeg, outcolorspace="RGB", out=out)
