"""One builder for every way in which a user's data can be broken.

`BROKEN` is the table: name → what to build, the code expected in ``check.json``, and words that its message
must hold. The unit tests run the check on each row; the workflow test runs whole cohorts with them.
"""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import tifffile

from whole_folders import (
    GENES,
    SAMPLE,
    SIDE,
    atlas,
    barcode,
    counts,
    genes,
    spots,
    visium,
    write_image,
    write_matrix,
    xenium,
)


class Broken(NamedTuple):
    """One row of the table. `build` and `build_reference` write under a folder and return a sheet's row."""

    build: Callable[[Path], dict[str, str]]
    code: str
    words: tuple[str, ...]
    build_reference: Callable[[Path], dict[str, str]] | None = None


def _edit(row: dict[str, str], name: str) -> Path:
    return Path(row["path"]) / name


def truncated_h5(folder: Path) -> dict[str, str]:
    row = visium(folder)
    path = _edit(row, "filtered_feature_bc_matrix.h5")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return row


def gzip_cut_short(folder: Path) -> dict[str, str]:
    row = visium(folder)
    _edit(row, "filtered_feature_bc_matrix.h5").unlink()
    triple = _edit(row, "filtered_feature_bc_matrix")
    triple.mkdir()
    values = sp.coo_matrix(counts().T)
    lines = ["%%MatrixMarket matrix coordinate integer general", f"{GENES} {SIDE * SIDE} {values.nnz}"]
    lines += [
        f"{r + 1} {c + 1} {int(v)}" for r, c, v in zip(values.row, values.col, values.data, strict=True)
    ]
    packed = gzip.compress("\n".join(lines).encode())
    (triple / "matrix.mtx.gz").write_bytes(packed[: len(packed) // 2])
    features = genes().assign(kind="Gene Expression")[["id", "name", "kind"]]
    features.to_csv(triple / "features.tsv.gz", sep="\t", header=False, index=False)
    spots()["barcode"].to_csv(triple / "barcodes.tsv.gz", header=False, index=False)
    return row


def missing_positions(folder: Path) -> dict[str, str]:
    row = visium(folder)
    _edit(row, "spatial/tissue_positions.csv").unlink()
    return row


def positions_of_another_section(folder: Path) -> dict[str, str]:
    """The same slide design, so the same barcodes, but other spots lie under that section's tissue."""
    row = visium(folder)
    other = spots().assign(in_tissue=lambda table: (table["array_col"] >= SIDE).astype(int))
    other.to_csv(_edit(row, "spatial/tissue_positions.csv"), index=False)
    return row


def positions_of_another_slide(folder: Path) -> dict[str, str]:
    row = visium(folder)
    other = spots().assign(barcode=[f"{barcode(1000 + i)}-1" for i in range(SIDE * SIDE)])
    other.to_csv(_edit(row, "spatial/tissue_positions.csv"), index=False)
    return row


def _reordered(folder: Path, order: list[int]) -> dict[str, str]:
    """Columns of a positions file without header in another order; whole pixels, as in Space Ranger 1."""
    row = visium(folder)
    _edit(row, "spatial/tissue_positions.csv").unlink()
    table = spots().round().iloc[:, order]
    table.iloc[:, 1:] = table.iloc[:, 1:].astype(int)
    table.to_csv(_edit(row, "spatial/tissue_positions_list.csv"), header=False, index=False)
    return row


def wrong_column_order(folder: Path) -> dict[str, str]:
    """Pixels before array coordinates."""
    return _reordered(folder, [0, 1, 4, 5, 2, 3])


def rows_before_tissue(folder: Path) -> dict[str, str]:
    """Array coordinates before the flag."""
    return _reordered(folder, [0, 2, 3, 1, 4, 5])


def normalised(folder: Path) -> dict[str, str]:
    raw = counts()
    return visium(folder, matrix=np.log1p(1e4 * raw / raw.sum(1, keepdims=True)))


def _with_value(folder: Path, value: float) -> dict[str, str]:
    raw = counts()
    raw[3, 4] = value
    return visium(folder, matrix=raw)


def negative_counts(folder: Path) -> dict[str, str]:
    return _with_value(folder, -2.0)


def nan_counts(folder: Path) -> dict[str, str]:
    return _with_value(folder, np.nan)


def all_zero(folder: Path) -> dict[str, str]:
    return visium(folder, matrix=np.zeros((SIDE * SIDE, GENES), dtype=np.float32))


def duplicate_barcodes(folder: Path) -> dict[str, str]:
    row = visium(folder)
    names = list(spots()["barcode"])
    names[1] = names[0]
    write_matrix(_edit(row, "filtered_feature_bc_matrix.h5"), counts(), names, genes())
    return row


def no_mpp(folder: Path) -> dict[str, str]:
    """Cells without a lattice, in an h5ad that says nothing about the size of its pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    where = spots()
    adata = ad.AnnData(
        sp.csr_matrix(counts()),
        obs=pd.DataFrame(index=where["barcode"].to_numpy()),
        var=genes().set_index("name").rename(columns={"id": "gene_id"}),
    )
    scattered = np.random.default_rng(3).uniform(0, 900, size=(SIDE * SIDE, 2))
    adata.obsm["spatial"] = scattered
    adata.write_h5ad(folder / "cells.h5ad")
    return {"sample": SAMPLE, "assay": "h5ad", "path": str(folder / "cells.h5ad"), "organism": "human"}


def corrupt_slide(folder: Path) -> dict[str, str]:
    """The header is whole, the pixels are not: it opens, and fails on reading."""
    row = visium(folder)
    path = Path(row["image"])
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    with path.open("r+b") as handle:
        for offset, size in places:
            handle.seek(offset)
            handle.write(b"\0" * size)
    return row


def truncated_slide(folder: Path) -> dict[str, str]:
    row = visium(folder)
    path = Path(row["image"])
    path.write_bytes(path.read_bytes()[:400])
    return row


def image_of_another_section(folder: Path) -> dict[str, str]:
    row = visium(folder)
    write_image(Path(row["image"]), (1300, 820))
    return row


def wrong_mpp(folder: Path) -> dict[str, str]:
    return {**visium(folder), "mpp": "0.5"}


def spots_outside_image(folder: Path) -> dict[str, str]:
    row = visium(folder)
    factors = {"tissue_hires_scalef": 1.0, "tissue_lowres_scalef": 0.2, "spot_diameter_fullres": 55.0}
    _edit(row, "spatial/scalefactors_json.json").write_text(json.dumps(factors))
    return {key: value for key, value in row.items() if key not in ("image", "mpp")}


def alignment_without_inverse(folder: Path) -> dict[str, str]:
    return xenium(folder, np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 1.0]]))


def alignment_of_another_section(folder: Path) -> dict[str, str]:
    """A matrix of the right scale (1 µm pixels over 0.2125) that shifts the cells off the image."""
    return xenium(folder, np.array([[1 / 0.2125, 0, 9000.0], [0, 1 / 0.2125, 0.0], [0.0, 0.0, 1.0]]))


def alignment_of_wrong_scale(folder: Path) -> dict[str, str]:
    """One H&E pixel is one morphology pixel, 0.2125 µm; the sheet says 1 µm."""
    return {**xenium(folder, np.eye(3)), "mpp": "1.0"}


def missing_path(folder: Path) -> dict[str, str]:
    return {**visium(folder), "path": str(folder / "nowhere")}


def with_reference(folder: Path) -> dict[str, str]:
    """A whole folder; what is broken is its reference."""
    return {**visium(folder), "reference": "atlas"}


def mouse_sample(folder: Path) -> dict[str, str]:
    return {**visium(folder, "mouse"), "reference": "atlas"}


def strange_genes(folder: Path) -> dict[str, str]:
    return atlas(folder, named_alike=False)


def one_label(folder: Path) -> dict[str, str]:
    return atlas(folder, types=1)


def without_counts(folder: Path) -> dict[str, str]:
    row = atlas(folder)
    adata = ad.read_h5ad(row["path"])
    adata.X = np.log1p(adata.X.toarray() / 7)
    adata.write_h5ad(row["path"])
    return row


def unknown_label_key(folder: Path) -> dict[str, str]:
    return {**atlas(folder), "label_key": "celltype"}


# Reference rows: the reference's own check has the code; the sample fails with ``reference_failed``.
BROKEN: dict[str, Broken] = {
    "truncated_h5": Broken(truncated_h5, "unreadable_matrix", ("filtered_feature_bc_matrix.h5",)),
    "gzip_cut_short": Broken(gzip_cut_short, "unreadable_matrix", ("filtered_feature_bc_matrix",)),
    "missing_positions": Broken(missing_positions, "missing_positions", ("spatial",)),
    "positions_of_another_section": Broken(
        positions_of_another_section, "positions_of_another_section", ("outs", "50%", "36")
    ),
    "positions_of_another_slide": Broken(
        positions_of_another_slide, "positions_mismatch", ("36 of 36", f"{barcode(0)}-1")
    ),
    "wrong_column_order": Broken(wrong_column_order, "positions_off_lattice", ("outs", "pitches")),
    "rows_before_tissue": Broken(rows_before_tissue, "bad_positions", ("tissue_positions_list.csv",)),
    "normalised": Broken(normalised, "not_counts", ("outs", "not whole")),
    "negative_counts": Broken(negative_counts, "negative_counts", ("outs", "-2")),
    "nan_counts": Broken(nan_counts, "nan_counts", ("outs", "1 value")),
    "all_zero": Broken(all_zero, "all_zero", ("outs", "zero")),
    "duplicate_barcodes": Broken(duplicate_barcodes, "duplicate_barcodes", ("outs", f"{barcode(0)}-1")),
    "no_mpp": Broken(no_mpp, "no_mpp", ("cells.h5ad",)),
    "corrupt_slide": Broken(corrupt_slide, "corrupt_slide", ("slide.tif",)),
    "truncated_slide": Broken(truncated_slide, "corrupt_slide", ("slide.tif",)),
    "image_of_another_section": Broken(
        image_of_another_section, "image_of_another_section", ("slide.tif", "1300 × 820", "1000 × 900")
    ),
    "wrong_mpp": Broken(wrong_mpp, "mpp_mismatch", ("outs", "0.5", "pitch")),
    "spots_outside_image": Broken(spots_outside_image, "spots_outside_image", ("outs", "500 × 450")),
    "alignment_without_inverse": Broken(
        alignment_without_inverse, "bad_alignment", ("alignment.csv", "determinant 0")
    ),
    "alignment_of_another_section": Broken(
        alignment_of_another_section, "spots_outside_image", ("slide.tif", "36 of 36")
    ),
    "alignment_of_wrong_scale": Broken(
        alignment_of_wrong_scale, "mpp_mismatch", ("bundle", "the alignment matrix says 0.2125", "mpp 1")
    ),
    "missing_path": Broken(missing_path, "missing_path", ("nowhere",)),
    "no_shared_gene": Broken(with_reference, "no_shared_gene", ("atlas", "shares 0"), strange_genes),
    "mouse_sample_human_reference": Broken(
        mouse_sample, "organism_mismatch", ("outs", "atlas", "mouse", "human"), atlas
    ),
    "reference_without_counts": Broken(
        with_reference, "reference_failed", ("atlas.h5ad", "no raw counts"), without_counts
    ),
    "one_label": Broken(with_reference, "reference_failed", ("atlas.h5ad", "cell_type", "type0"), one_label),
    "unknown_label_key": Broken(
        with_reference, "reference_failed", ("atlas.h5ad", "'celltype'"), unknown_label_key
    ),
}
