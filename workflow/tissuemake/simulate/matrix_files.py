"""Count matrices in 10x Genomics' layouts: HDF5 version 2 ("v3") and the Matrix Market folder."""

import gzip
import io
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.io import mmwrite

GENOME = "GRCh38"


def feature_table(genes: pd.DataFrame, feature_type: str = "Gene Expression", genome: str = GENOME):
    """Features as 10x lists them: columns id, name, feature_type, genome, from a table by symbol with ``gene_id``."""
    return pd.DataFrame(
        {
            "id": genes["gene_id"].to_numpy(),
            "name": genes.index.to_numpy(),
            "feature_type": feature_type,
            "genome": genome,
        }
    )


def write_h5(
    path: Path,
    counts: sp.csr_matrix,
    barcodes: np.ndarray,
    features: pd.DataFrame,
    *,
    software: str,
    chemistry: str,
    library: str,
    probe_set: str | None = None,
) -> None:
    """Write `counts` (barcodes, features) as 10x HDF5; on disk it is features x barcodes, compressed by column."""
    path.parent.mkdir(parents=True, exist_ok=True)
    counts = sp.csr_matrix(counts)
    with h5py.File(path, "w") as handle:
        handle.attrs["chemistry_description"] = chemistry
        handle.attrs["filetype"] = "matrix"
        handle.attrs["library_ids"] = np.array([library.encode()])
        handle.attrs["original_gem_groups"] = np.array([1])
        handle.attrs["software_version"] = software
        handle.attrs["version"] = 2
        group = handle.create_group("matrix")
        packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        group.create_dataset("barcodes", data=np.asarray(barcodes, dtype="S"), **packed)
        group.create_dataset("data", data=counts.data.astype(np.int32), **packed)
        group.create_dataset("indices", data=counts.indices.astype(np.int64), **packed)
        group.create_dataset("indptr", data=counts.indptr.astype(np.int64), **packed)
        group.create_dataset("shape", data=np.array(counts.shape[::-1], dtype=np.int32))
        write_features(group, features, probe_set)


def write_features(group: h5py.Group, features: pd.DataFrame, probe_set: str | None = None) -> None:
    """Write the group ``features`` of a 10x file; a probe set lists which features have probes."""
    packed = {"compression": "gzip", "compression_opts": 1}
    folder = group.create_group("features")
    folder.create_dataset("_all_tag_keys", data=np.array([b"genome"]))
    for column in ("feature_type", "genome", "id", "name"):
        folder.create_dataset(column, data=features[column].to_numpy().astype("S"), **packed)
    if probe_set is not None:
        listed = np.arange(len(features)).astype("S")
        folder.create_group("target_sets").create_dataset(probe_set, data=listed, **packed)


def write_mtx(folder: Path, counts: sp.csr_matrix, barcodes: np.ndarray, features: pd.DataFrame) -> None:
    """Write the folder of ``barcodes.tsv.gz``, ``features.tsv.gz`` and ``matrix.mtx.gz`` (features x barcodes)."""
    folder.mkdir(parents=True, exist_ok=True)
    body = io.BytesIO()
    mmwrite(body, sp.csr_matrix(counts).T.tocsc().astype(np.int64), field="integer")
    write_gzip(folder / "matrix.mtx.gz", body.getvalue())
    write_gzip(folder / "barcodes.tsv.gz", "".join(f"{name}\n" for name in barcodes).encode())
    table = features[["id", "name", "feature_type"]].to_csv(sep="\t", header=False, index=False)
    write_gzip(folder / "features.tsv.gz", table.encode())


def write_gzip(path: Path, content: bytes) -> None:
    """Compress without the time of day, so that equal content is an equal file."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=4, fileobj=raw, mtime=0) as packed:
        packed.write(content)
