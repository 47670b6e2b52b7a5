"""The file of a sample's tiles: the only way that pictures and their table are written and read."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tissuemake.contracts import TILES, check_table
from tissuemake.errors import InputError
from tissuemake.files import atomic

COLUMNS = {
    "tile": pa.string(),
    "kind": pa.string(),
    "x": pa.float64(),
    "y": pa.float64(),
    "size_px": pa.int32(),
    "size_um": pa.float64(),
    "tissue_fraction": pa.float32(),
    "mpp": pa.float64(),
    "jpeg": pa.binary(),
}
SCHEMA = pa.schema(COLUMNS)
JPEG_QUALITY = 90


class TileStore:
    """Tiles of one sample, any of them at any time.

    Nothing is held that a fork or a pickle could not carry: workers of a data loader may share one object.

    Parameters
    ----------
    path
        What `tile_slide` wrote.

    Raises
    ------
    InputError
        ``unreadable_tiles`` for what is no tile file, ``broken_contract`` for one with columns missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._open()
        names = self._file.schema_arrow.names
        check_table(pd.DataFrame(columns=names), TILES, self.path)

    def _open(self) -> None:
        try:
            self._file = pq.ParquetFile(self.path)
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(
                "unreadable_tiles",
                f"{self.path} is not a readable file of tiles ({error}).",
                f"Delete it and run again; {TILES.written_by} writes it.",
            ) from error
        self._pid = os.getpid()
        metadata = self._file.metadata
        sizes = [metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._held: tuple[int, pa.ChunkedArray] | None = None

    def __enter__(self) -> "TileStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getstate__(self) -> dict:
        return {"path": self.path}

    def __setstate__(self, state: dict) -> None:
        self.path = state["path"]
        self._open()

    @property
    def table(self) -> pd.DataFrame:
        """All columns but the picture, indexed by ``tile``, in the order of the file; read anew at each use."""
        names = [name for name in self._file.schema_arrow.names if name != "jpeg"]
        return self._file.read(names).to_pandas(ignore_metadata=True).set_index("tile")

    @property
    def provenance(self) -> dict:
        """What made the file."""
        stored = (self._file.schema_arrow.metadata or {}).get(b"pandas", b"{}")
        return json.loads(stored).get("attributes", {}).get("tissuemake", {})

    def jpegs(self, rows: Sequence[int] | np.ndarray) -> list[bytes]:
        """The encoded pictures of `rows` (numbers from 0 in the order of the table), in the order asked for."""
        if self._pid != os.getpid():
            self._open()
        rows = np.asarray(rows, np.int64)
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        found: dict[int, bytes] = {}
        for group in np.unique(groups):
            if self._held is None or self._held[0] != group:
                self._held = group, self._file.read_row_group(int(group), ["jpeg"])["jpeg"]
            for row in rows[groups == group].tolist():
                found[row] = self._held[1][row - int(self._starts[group])].as_py()
        return [found[row] for row in rows.tolist()]

    def pixels(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The pictures of `rows` as uint8 (n, height, width, 3)."""
        jpegs = self.jpegs(rows)
        if not jpegs:
            return np.empty((0, 0, 0, 3), np.uint8)
        return np.stack([imagecodecs.jpeg8_decode(jpeg, outcolorspace="RGB") for jpeg in jpegs])

    def close(self) -> None:
        """Release the file."""
        self._file.close()


class TileWriter:
    """Writes a tile file batch by batch, in constant memory; to be used inside `tissuemake.files.atomic`."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA, store_schema=False)

    def write(self, rows: pd.DataFrame) -> None:
        """Append `rows` with the columns of `COLUMNS`."""
        batch = pa.RecordBatch.from_pandas(rows, schema=SCHEMA, preserve_index=False)
        self._writer.write_batch(batch.replace_schema_metadata())

    def close(self, provenance: dict) -> None:
        """Finish the file; provenance lies where pandas looks for ``DataFrame.attrs``."""
        attributes = {"index_columns": [], "columns": [], "attributes": {"tissuemake": provenance}}
        self._writer.add_key_value_metadata({"pandas": json.dumps(attributes)})
        self._writer.close()


def write_tiles(
    path: str | Path, table: pd.DataFrame, pictures: Iterable[np.ndarray], provenance: dict | None = None
) -> None:
    """Write a small tile file at once: `table` indexed by ``tile``, and a uint8 (h, w, 3) picture per row.

    Columns that `table` lacks are filled as for spot tiles of 112 µm that are all tissue.
    """
    pictures = list(pictures)
    edge = [picture.shape[0] for picture in pictures]
    usual = {"kind": "spot", "x": 0.0, "y": 0.0, "size_px": edge, "size_um": 112.0, "tissue_fraction": 1.0}
    rows = table.rename_axis(index="tile").reset_index()
    rows = rows.assign(**{name: value for name, value in usual.items() if name not in rows})
    if "mpp" not in rows:
        rows["mpp"] = rows["size_um"] / rows["size_px"]
    with atomic(path) as partial:
        writer = TileWriter(partial)
        for start in range(0, max(len(rows), 1), 256):
            part = rows.iloc[start : start + 256]
            writer.write(part.assign(jpeg=[encode_jpeg(p) for p in pictures[start : start + 256]]))
        writer.close(provenance or {})


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """A picture, uint8 (h, w, 3), as JPEG of quality 90 without colour subsampling."""
    return imagecodecs.jpeg8_encode(pixels, level=JPEG_QUALITY, subsampling="444")
