"""Is the matrix what it should be: readable, raw, one row per barcode, deep enough, small enough?"""

import os
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.errors import InputError
from tissuemake.hdf5_guard import check_hdf5
from tissuemake.ingest.base import Reader
from tissuemake.ingest.counts import GENE_EXPRESSION, check_counts
from tissuemake.quality.thresholds import floors
from tissuemake.quality.verdict import Verdict

# Above this many stored values (about 8 s of reading) the check looks at blocks of barcodes only.
MANY_VALUES = 50_000_000
BLOCKS, BLOCK_BARCODES = 20, 1000
# Peak of filter_spots with its figure: 622 MB for 0.7 million values under a 2,000-pixel image; without an
# image 499 MB for 2.7, 660 MB for 6.0 and 1,550 MB for 29.8 million values.
BASE_MB, BYTES_PER_VALUE = 620, 40


def read_matrix(reader: Reader) -> tuple[ad.AnnData, int]:
    """All features of a sample and the number of stored values; a sample of barcodes when there are many."""
    for path in reader.files():
        if path.suffix == ".h5" and h5py.is_hdf5(path):
            check_hdf5(path, reader.where(path))
            stored = _stored_values(path)
            if stored > MANY_VALUES:
                return _sampled(path, reader), stored
    counts = reader.counts()
    return counts, int(counts.X.nnz)


def _stored_values(path: Path) -> int:
    try:
        with h5py.File(path) as handle:
            return int(handle["matrix/data"].shape[0]) if "matrix/data" in handle else 0
    except OSError:
        return 0  # cut short: the reader says so in its own words


def _sampled(path: Path, reader: Reader) -> ad.AnnData:
    """Every barcode and feature by name, values for at most 20 blocks of 1,000 barcodes, zeros elsewhere."""
    from tissuemake.ingest.counts import make_counts

    try:
        with h5py.File(path) as handle:
            matrix = handle["matrix"]
            n_features, n_barcodes = (int(size) for size in matrix["shape"][:])
            bounds = matrix["indptr"][:].astype(np.int64)
            features = matrix["features"]
            names, ids, types = (features[key][:].astype(str) for key in ("name", "id", "feature_type"))
            barcodes = matrix["barcodes"][:]
            data, indices, lengths = [], [], np.zeros(n_barcodes, dtype=np.int64)
            # Half of the barcodes at most, so that blocks never overlap: rows are joined in their order.
            blocks = max(1, min(BLOCKS, n_barcodes // (2 * BLOCK_BARCODES)))
            for start in np.linspace(0, max(n_barcodes - BLOCK_BARCODES, 0), blocks).astype(int):
                rows = slice(start, start + BLOCK_BARCODES)
                first, last = bounds[rows][0], bounds[min(start + BLOCK_BARCODES, n_barcodes)]
                data.append(matrix["data"][first:last])
                indices.append(matrix["indices"][first:last])
                lengths[rows] = np.diff(bounds[start : start + BLOCK_BARCODES + 1])
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            "unreadable_matrix",
            f"{reader.where(path)} is not a readable 10x h5 matrix ({error}).",
            "Copy the file again from where the instrument's software wrote it.",
        ) from error
    pointers = np.concatenate([[0], np.cumsum(lengths)])
    parts = (np.concatenate(data), np.concatenate(indices), pointers)
    return make_counts(sp.csr_matrix(parts, shape=(n_barcodes, n_features)), barcodes, names, ids, types)


def check_matrix(verdict: Verdict, reader: Reader, counts: ad.AnnData, stored: int) -> None:
    """Counts are counts, and fit into memory; adds facts about size."""
    memory = expected_memory_mb(stored)
    verdict.facts |= {
        "n_observations": int(counts.n_obs),
        "n_genes": int((counts.var["feature_type"] == GENE_EXPRESSION).sum()),
        "n_values": stored,
        "expected_memory_mb": memory,
    }
    check_counts(counts, reader.where(reader.row.path))
    _check_memory(verdict, memory, stored)


def check_depth(
    verdict: Verdict, reader: Reader, counts: ad.AnnData, positions: pd.DataFrame, min_counts: float | None
) -> None:
    """Spots in tissue have enough counts for the filter to keep most of them, or any at all.

    Parameters
    ----------
    min_counts
        The config's word; None: the floor of the assay.
    """
    genes = (counts.var["feature_type"] == GENE_EXPRESSION).to_numpy()
    inside = positions["in_tissue"].to_numpy(bool)
    if not positions.index.equals(counts.obs_names):
        inside = counts.obs_names.isin(positions.index[inside])
    totals = (counts.X @ genes.astype(np.float32))[inside]
    seen = totals[totals > 0]
    median = float(np.median(seen)) if seen.size and np.isfinite(seen).all() else 0.0
    verdict.facts["median_counts"] = round(median, 1)
    least = min_counts
    if least is None:
        least = floors(reader.observation, int(genes.sum()), reader.pitch_um)["min_counts"]
    if seen.size and seen.max() < least:
        raise InputError(
            "no_spot_left",
            f"{reader.where(reader.row.path)}: the deepest {reader.observation} has {seen.max():g} counts, below "
            f"the {least:g} that the filter asks for.",
            "The library failed, or the path names another matrix; if the sample is meant to be this shallow, "
            "set filter: min_counts in the config.",
        )
    if median < least:
        verdict.warn(
            "few_counts",
            f"{reader.where(reader.row.path)}: the median {reader.observation} has {median:g} counts, below "
            f"the {least:g} that the filter asks for.",
            "Expect to lose most of it. If the sample is meant to be this shallow, set filter: min_counts.",
        )


def expected_memory_mb(stored: int) -> int:
    """Peak memory of filtering, which holds most copies of the counts, from the stored values."""
    return round(BASE_MB + BYTES_PER_VALUE * stored / 1e6)


def _check_memory(verdict: Verdict, memory: int, stored: int) -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    if memory > machine:
        verdict.warn(
            "much_memory",
            f"Sample '{verdict.name}' holds {stored:,} values and will need about {memory / 1000:.1f} GB of "
            f"memory; this machine has {machine / 1000:.1f} GB.",
            "Run it on a machine with more memory, or choose larger bins (column bin_um).",
        )
