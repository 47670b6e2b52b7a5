"""Feature-barcode matrices of 10x Genomics: h5 and mtx, gzipped or not, Cell Ranger 2 layout to today's."""

import gzip
import zlib
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.errors import InputError
from tissuemake.hdf5_guard import check_hdf5
from tissuemake.ingest.counts import make_counts
from tissuemake.packed import open_table

_REMEDY = "Copy the file again from where the instrument's software wrote it; it is damaged or cut short."


def read_matrix(path: Path, where: str) -> ad.AnnData:
    """Read a 10x matrix, an ``.h5`` file or the folder of an mtx triple, with all feature types.

    Raises
    ------
    InputError
        ``unreadable_matrix``, ``missing_matrix``, ``bad_matrix``.
    """
    return _read_h5(path, where) if path.is_file() and path.suffix == ".h5" else _read_mtx(path, where)


def matrix_files(path: Path) -> list[Path]:
    """The files behind a matrix."""
    if path.is_file() and path.suffix == ".h5":
        return [path]
    return [found for found in mtx_parts(path).values() if found]


def h5_attributes(path: Path) -> dict[str, str]:
    """``software_version`` and ``chemistry_description`` of an h5 matrix, as far as they are there."""
    import h5py

    found = {}
    try:
        with h5py.File(path) as handle:
            for key in ("software_version", "chemistry_description"):
                value = np.ravel(handle.attrs.get(key, ""))[:1]
                found[key] = "".join(v.decode() if isinstance(v, bytes) else str(v) for v in value)
    except OSError:
        return {}  # whoever reads the counts will say that it is broken
    return found


def _read_h5(path: Path, where: str) -> ad.AnnData:
    """Read with h5py: importing scanpy for its `read_10x_h5` costs 3 s and 170 MB, a test holds them equal."""
    import h5py

    check_hdf5(path, where)
    try:
        with h5py.File(path) as handle:
            matrix, features = handle["matrix"], handle["matrix/features"]
            parts = [matrix[key][:] for key in ("data", "indices", "indptr")]
            shape = matrix["shape"][:][::-1]
            barcodes = matrix["barcodes"][:]
            names, ids, types = (features[key][:].astype(str) for key in ("name", "id", "feature_type"))
        counts = sp.csr_matrix((parts[0].astype(np.float32), *parts[1:]), shape=tuple(shape))
        return make_counts(counts, barcodes, names, ids, types)
    except Exception as error:  # a file cut short fails anywhere in h5py, numpy or scipy
        raise InputError(
            "unreadable_matrix", f"{where} is not a readable 10x h5 matrix ({error}).", _REMEDY
        ) from error


def mtx_parts(folder: Path) -> dict[str, Path | None]:
    """Matrix, features and barcodes of an mtx folder; names may carry a prefix, files may be gzipped."""
    wanted = {
        "matrix": ("matrix.mtx",),
        "features": ("features.tsv", "genes.tsv"),
        "barcodes": ("barcodes.tsv",),
    }
    parts: dict[str, Path | None] = {}
    for part, names in wanted.items():
        endings = tuple(name + packed for name in names for packed in ("", ".gz"))
        found = (
            sorted(path for path in folder.iterdir() if path.name.endswith(endings))
            if folder.is_dir()
            else []
        )
        parts[part] = found[0] if found else None
    return parts


def _read_mtx(folder: Path, where: str) -> ad.AnnData:
    from scipy.io import mmread

    parts = mtx_parts(folder)
    missing = [part for part, found in parts.items() if found is None]
    if missing:
        raise InputError(
            "missing_matrix",
            f"{where} has no {' and no '.join(missing)} file.",
            "Copy the whole folder again.",
        )
    try:
        with open_table(parts["matrix"]) as handle:
            matrix = mmread(handle).T.tocsr()
        features, barcodes = (_read_list(parts[part]) for part in ("features", "barcodes"))
        barcodes = barcodes[0]
    except InputError:
        raise
    except (OSError, EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError("unreadable_matrix", f"{where} cannot be read ({error}).", _REMEDY) from error
    if matrix.shape != (len(barcodes), len(features)):
        raise InputError(
            "bad_matrix",
            f"{where}: the matrix is {matrix.shape[1]} × {matrix.shape[0]}, but there are"
            f" {len(features)} features and {len(barcodes)} barcodes.",
            "Put the three files of one matrix together.",
        )
    names = features[1] if features.shape[1] > 1 else features[0]
    return make_counts(matrix, barcodes, names, features[0], features[2] if features.shape[1] > 2 else None)


def _read_list(path: Path) -> pd.DataFrame:
    with open_table(path) as handle:
        return pd.read_csv(handle, sep="\t", header=None, dtype=str, keep_default_na=False)
