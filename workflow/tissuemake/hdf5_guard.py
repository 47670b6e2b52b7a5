"""Ground floor: an HDF5 file from a stranger: it must not read other files, nor claim what no memory holds."""

from pathlib import Path

import h5py
import numpy as np

from tissuemake.errors import InputError

FREE_BYTES = 2 << 30
MOST_RATIO = 300  # the best that gzip makes of real matrices is below 100
MOST_OBJECTS = 200_000


def check_hdf5(path: str | Path, where: str) -> None:
    """Refuse links, storage and views that lie in other files, objects, and data sets that unfold out of nothing.

    HDF5 follows all of these without a word: a matrix may be a view of any file that the reader may read.
    A file that is no HDF5 is left to whoever reads it.

    Parameters
    ----------
    where
        How messages name the file.

    Raises
    ------
    InputError
        ``unsafe_hdf5``, ``decompression_bomb``.
    """
    try:
        with h5py.File(path) as handle:
            _walk(handle, where)
    except InputError:
        raise
    except Exception:  # cut short, damaged or another format: the reader says so in its own words
        return


def _walk(root: h5py.Group, where: str) -> None:
    waiting, seen, held, stored = [root], set(), 0, 0
    while waiting:
        group = waiting.pop()
        for name in group:
            _refuse_outside(group.get(name, getlink=True), f"{group.name}/{name}", where)
            item = group.get(name)
            if item is None or item.id in seen:
                continue
            seen.add(item.id)
            if len(seen) > MOST_OBJECTS:
                raise _unsafe(where, f"more than {MOST_OBJECTS:,} groups and data sets")
            if isinstance(item, h5py.Group):
                waiting.append(item)
            elif isinstance(item, h5py.Dataset):
                _refuse_foreign(item, where)
                _refuse_objects(item, where)
                held += int(np.prod(item.shape or (), dtype=float)) * item.dtype.itemsize
                stored += item.id.get_storage_size()
                if held > max(FREE_BYTES, MOST_RATIO * stored):
                    raise InputError(
                        "decompression_bomb",
                        f"{where}: {item.name} says {item.shape}, {held / 1e9:,.1f} GB so far, out of "
                        f"{stored / 1e6:.3g} MB in the file: no data pack so well.",
                        "Do not use it; ask where it came from.",
                    )


def _refuse_outside(link: object, name: str, where: str) -> None:
    if isinstance(link, h5py.ExternalLink):
        raise _unsafe(where, f"{name} is a link into another file ({link.filename})")


def _refuse_foreign(data: h5py.Dataset, where: str) -> None:
    if data.external:
        raise _unsafe(where, f"{data.name} is stored in another file ({data.external[0][0]})")
    if data.is_virtual:
        foreign = [source.file_name for source in data.virtual_sources() if source.file_name != "."]
        if foreign:
            raise _unsafe(where, f"{data.name} is a view of another file ({foreign[0]})")


def _refuse_objects(data: h5py.Dataset, where: str) -> None:
    """Numbers, text and records of them are data; blobs and rows of any length are what pickles are hidden in."""
    inner = h5py.check_vlen_dtype(data.dtype)
    inner = None if inner in (str, bytes) else inner
    if inner is not None or (data.dtype.kind == "V" and data.dtype.names is None):
        what = "opaque bytes" if inner is None else f"rows of any length ({inner})"
        raise _unsafe(where, f"{data.name} holds objects, {what}, not numbers or text")


def _unsafe(where: str, what: str) -> InputError:
    return InputError(
        "unsafe_hdf5",
        f"{where}: {what}.",
        "Do not use it; ask where it came from. A file that holds its own data is written by h5repack.",
    )
