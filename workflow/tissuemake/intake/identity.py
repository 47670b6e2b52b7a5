"""Which section a sample is, whatever its files are called: digests of its counts and of where its spots stand."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.errors import InputError
from tissuemake.ingest.base import Reader


@dataclass(frozen=True)
class Identity:
    """Digests that names of files, samples, genes or barcodes and the container do not change.

    ``counts`` is that of a measurement; ``places`` that of a section under its image, empty where positions were
    not measured but follow from the array.
    """

    counts: str = ""
    places: str = ""

    def as_dict(self) -> dict[str, str]:
        """The digests as plain values."""
        return {"counts": self.counts, "places": self.places}


def identify(reader: Reader, counts: ad.AnnData, stored: int) -> Identity:
    """Digest a sample.

    Parameters
    ----------
    counts
        All features (observations, features), as ``quality.matrix_checks.read_matrix`` reads them.
    stored
        Values in the whole matrix, of which `counts` may hold a sample.
    """
    try:
        positions = reader.positions() if getattr(reader, "has_pixels", True) else None
    except InputError:
        positions = None  # the reader will say so when the sample is taken
    return Identity(counts_digest(counts, stored), "" if positions is None else places_digest(positions))


def counts_digest(counts: ad.AnnData, stored: int) -> str:
    """SHA-256 over the totals of observations and of features, each sorted, what is empty left out."""
    digest = hashlib.sha256(str(stored).encode())
    for axis in (1, 0):
        totals = np.asarray(counts.X.sum(axis=axis, dtype=np.float64)).ravel()
        digest.update(np.sort(np.rint(totals[totals > 0])).astype("<i8").tobytes())
    return digest.hexdigest()[:32]


def places_digest(positions: pd.DataFrame) -> str:
    """SHA-256 over the sorted positions, in whole pixels."""
    xy = np.rint(positions[["x", "y"]].to_numpy(np.float64))
    xy = xy[np.isfinite(xy).all(axis=1)].astype("<i8")
    return hashlib.sha256(xy[np.lexsort(xy.T)].tobytes()).hexdigest()[:32]


def state_of(paths: list[Path]) -> str:
    """A digest of names, sizes and times of files, to tell without reading whether they changed."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        about = path.stat()
        digest.update(f"{path}\0{about.st_size}\0{about.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]
