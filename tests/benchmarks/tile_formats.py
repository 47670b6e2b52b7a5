"""File formats that could hold the tiles of a slide: how each is written and read, by the shortest code that does."""

import io
import os
import sqlite3
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import tifffile
import zarr

from tissuemake.histology.tile_store import TileStore, decode_jpeg

# (path) -> (rows) -> JPEGs, or pictures where the format holds no JPEGs.
Reader = Callable[[np.ndarray], list]


@dataclass(frozen=True)
class Format:
    """How a list of JPEGs becomes a file, and how rows are read from it."""

    write: Callable[[Path, list[bytes]], None]
    open: Callable[[Path], Reader]
    suffix: str
    # Pixels instead of JPEGs are in the file.
    raw: bool = False


def _column(jpegs: list[bytes]) -> pa.Table:
    return pa.table({"tile": [f"t{i}" for i in range(len(jpegs))], "jpeg": pa.array(jpegs, pa.binary())})


def _parquet(rows_in_group: int) -> Format:
    def write(path: Path, jpegs: list[bytes]) -> None:
        pq.write_table(
            _column(jpegs), path, row_group_size=rows_in_group, compression={"tile": "zstd", "jpeg": "none"}
        )

    def open_file(path: Path) -> Reader:
        file = pq.ParquetFile(path)
        held: list = [None, None]

        def read(rows: np.ndarray) -> list[bytes]:
            found: list = [b""] * len(rows)
            groups = rows // rows_in_group
            for group in np.unique(groups):
                if held[0] != group:
                    held[:] = group, file.read_row_group(int(group), ["jpeg"])["jpeg"].combine_chunks()
                for place in np.flatnonzero(groups == group):
                    found[place] = held[1][int(rows[place] % rows_in_group)].as_py()
            return found

        return read

    return Format(write, open_file, ".parquet")


def _write_arrow(path: Path, jpegs: list[bytes]) -> None:
    table = _column(jpegs)
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=256)


def _open_arrow(path: Path) -> Reader:
    file = pa.ipc.open_file(pa.memory_map(str(path)))
    batches = [file.get_batch(i)["jpeg"] for i in range(file.num_record_batches)]
    return lambda rows: [batches[row // 256][row % 256].as_py() for row in rows.tolist()]


def _write_hdf5(path: Path, jpegs: list[bytes]) -> None:
    with h5py.File(path, "w") as file:
        data = file.create_dataset("jpeg", len(jpegs), h5py.vlen_dtype(np.uint8))
        for row, jpeg in enumerate(jpegs):
            data[row] = np.frombuffer(jpeg, np.uint8)


def _open_hdf5(path: Path) -> Reader:
    data = h5py.File(path)["jpeg"]
    return lambda rows: [data[row] for row in rows.tolist()]


def _write_hdf5_raw(path: Path, jpegs: list[bytes]) -> None:
    with h5py.File(path, "w") as file:
        shape = decode_jpeg(jpegs[0]).shape
        data = file.create_dataset("pixels", (len(jpegs), *shape), "u1", chunks=(1, *shape))
        for row, jpeg in enumerate(jpegs):
            data[row] = decode_jpeg(jpeg)


def _open_hdf5_raw(path: Path) -> Reader:
    data = h5py.File(path)["pixels"]
    return lambda rows: [data[row] for row in rows.tolist()]


def _write_zarr(path: Path, jpegs: list[bytes]) -> None:
    with zarr.storage.ZipStore(path, mode="w") as store:
        shape = decode_jpeg(jpegs[0]).shape
        data = zarr.create_array(
            store, name="pixels", shape=(len(jpegs), *shape), chunks=(1, *shape), dtype="u1"
        )
        for row, jpeg in enumerate(jpegs):
            data[row] = decode_jpeg(jpeg)


def _open_zarr(path: Path) -> Reader:
    data = zarr.open_array(zarr.storage.ZipStore(path, mode="r"), path="pixels", mode="r")
    return lambda rows: [data[row] for row in rows.tolist()]


def _write_tiff(path: Path, jpegs: list[bytes]) -> None:
    height, width, _ = decode_jpeg(jpegs[0]).shape
    shape = (len(jpegs) * height, width, 3)
    tifffile.imwrite(path, iter(jpegs), bigtiff=True, shape=shape, dtype="u1", tile=(height, width), photometric="rgb",
                     compression="jpeg", compressionargs={"outcolorspace": "ycbcr"})  # fmt: skip


def _open_tiff(path: Path) -> Reader:
    with tifffile.TiffFile(path) as file:
        places = np.column_stack([file.pages[0].dataoffsets, file.pages[0].databytecounts])
    handle = os.open(path, os.O_RDONLY)
    return lambda rows: [os.pread(handle, int(size), int(start)) for start, size in places[rows]]


def _write_sqlite(path: Path, jpegs: list[bytes]) -> None:
    with sqlite3.connect(path) as database:
        database.execute("create table tiles (row integer primary key, jpeg blob)")
        database.executemany("insert into tiles values (?, ?)", enumerate(jpegs))


def _open_sqlite(path: Path) -> Reader:
    database = sqlite3.connect(path)
    query = "select jpeg from tiles where row = ?"
    return lambda rows: [database.execute(query, (row,)).fetchone()[0] for row in rows.tolist()]


def _write_tar(path: Path, jpegs: list[bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for row, jpeg in enumerate(jpegs):
            member = tarfile.TarInfo(f"{row:08d}.jpg")
            member.size = len(jpeg)
            tar.addfile(member, io.BytesIO(jpeg))


def _open_tar(path: Path) -> Reader:
    with tarfile.open(path) as tar:
        places = [(member.size, member.offset_data) for member in tar]
    handle = os.open(path, os.O_RDONLY)
    return lambda rows: [os.pread(handle, *places[row]) for row in rows.tolist()]


FORMATS = {
    "parquet, groups of 256": _parquet(256),
    "parquet, groups of 8": _parquet(8),
    "Arrow IPC": Format(_write_arrow, _open_arrow, ".arrow"),
    "Arrow IPC, TileStore": Format(_write_arrow, lambda path: TileStore(path).jpegs, ".arrow"),
    "HDF5, JPEGs": Format(_write_hdf5, _open_hdf5, ".h5"),
    "HDF5, pixels": Format(_write_hdf5_raw, _open_hdf5_raw, ".h5", raw=True),
    "zarr in zip, pixels": Format(_write_zarr, _open_zarr, ".zip", raw=True),
    "TIFF of JPEG tiles": Format(_write_tiff, _open_tiff, ".tif"),
    "SQLite": Format(_write_sqlite, _open_sqlite, ".db"),
    "tar": Format(_write_tar, _open_tar, ".tar"),
}
