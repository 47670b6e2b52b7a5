"""A small whole Visium folder, and one builder for every way in which a user's data can be broken.

`BROKEN` is the table: name → what to build, the code expected in ``check.json``, and words that its message
must hold. The unit tests run the check on each row; the workflow test runs whole cohorts with them.
"""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
import tifffile
from PIL import Image

PITCH_PX = 100.0  # so one pixel is one µm
SIDE = 6
SIZE_PX = (1000, 900)
GENES = 80
SAMPLE = "broken"


class Broken(NamedTuple):
    """One row of the table. `build` and `build_reference` write under a folder and return a sheet's row."""

    build: Callable[[Path], dict[str, str]]
    code: str
    words: tuple[str, ...]
    build_reference: Callable[[Path], dict[str, str]] | None = None


def spots() -> pd.DataFrame:
    """Positions of 36 spots of a hexagonal array, as Space Ranger 2 writes them."""
    row, step = np.divmod(np.arange(SIDE * SIDE), SIDE)
    col = 2 * step + row % 2
    return pd.DataFrame(
        {
            "barcode": [f"{barcode(i)}-1" for i in range(SIDE * SIDE)],
            "in_tissue": 1,
            "array_row": row,
            "array_col": col,
            "pxl_row_in_fullres": 150 + row * PITCH_PX * np.sqrt(3) / 2,
            "pxl_col_in_fullres": 150 + col * PITCH_PX / 2,
        }
    )


def barcode(i: int) -> str:
    """The number `i` in the letters of DNA, 16 of them."""
    return "".join("ACGT"[(i >> 2 * place) & 3] for place in range(15, -1, -1))


def genes(organism: str = "human") -> pd.DataFrame:
    """Names and Ensembl ids of `GENES` genes."""
    human = organism == "human"
    names = [f"{'GENE' if human else 'Gene'}{chr(65 + i % 26)}{i}" for i in range(GENES)]
    ids = [f"{'ENSG' if human else 'ENSMUSG'}{i:011d}" for i in range(GENES)]
    return pd.DataFrame({"name": names, "id": ids})


def counts(seed: int = 0) -> np.ndarray:
    """Whole numbers (spots, genes), about 2,000 per spot."""
    rng = np.random.default_rng(seed)
    return rng.poisson(rng.gamma(1.0, 25.0, size=GENES), size=(SIDE * SIDE, GENES)).astype(np.float32)


def write_matrix(path: Path, matrix: np.ndarray, barcodes: list[str], var: pd.DataFrame) -> None:
    """Write a 10x ``.h5`` matrix; `matrix` is (spots, genes)."""
    columns = sp.csc_matrix(matrix.T)
    whole = np.isfinite(columns.data).all() and (columns.data == np.rint(columns.data)).all()
    with h5py.File(path, "w") as handle:
        handle.attrs["software_version"] = "spaceranger-3.0.0"
        handle.attrs["chemistry_description"] = "Visium V4 - FFPE"
        group = handle.create_group("matrix")
        group["barcodes"] = np.array(barcodes, dtype="S")
        group["data"] = columns.data.astype(np.int32) if whole else columns.data
        group["indices"], group["indptr"] = columns.indices.astype(np.int64), columns.indptr.astype(np.int64)
        group["shape"] = np.array(columns.shape, dtype=np.int32)
        features = group.create_group("features")
        features["id"], features["name"] = var["id"].to_numpy("S"), var["name"].to_numpy("S")
        features["feature_type"] = np.repeat(np.bytes_("Gene Expression"), len(var))
        features["genome"] = np.repeat(np.bytes_("any"), len(var))


def write_image(path: Path, size: tuple[int, int] = SIZE_PX) -> None:
    """Write a stained-looking full-resolution TIFF of `size` (width, height)."""
    rng = np.random.default_rng(1)
    picture = rng.normal((220, 170, 210), 12, size=(size[1], size[0], 3)).clip(0, 255).astype(np.uint8)
    tifffile.imwrite(path, picture, tile=(256, 256), photometric="rgb", compression="jpeg")


def visium(folder: Path, organism: str = "human", matrix: np.ndarray | None = None) -> dict[str, str]:
    """Write a whole Visium folder and its image; returns its row of ``samples.tsv``."""
    outs = folder / "outs"
    (outs / "spatial").mkdir(parents=True)
    where = spots()
    values = counts() if matrix is None else matrix
    path = outs / "filtered_feature_bc_matrix.h5"
    write_matrix(path, values, list(where["barcode"]), genes(organism))
    where.to_csv(outs / "spatial" / "tissue_positions.csv", index=False)
    write_image(folder / "slide.tif")
    for name, scale in (("hires", 0.5), ("lowres", 0.1)):
        size = [round(side * scale) for side in SIZE_PX]
        picture = Image.fromarray(tifffile.imread(folder / "slide.tif")).resize(size)
        picture.save(outs / "spatial" / f"tissue_{name}_image.png")
    factors = {"tissue_hires_scalef": 0.5, "tissue_lowres_scalef": 0.1, "spot_diameter_fullres": 55.0}
    (outs / "spatial" / "scalefactors_json.json").write_text(json.dumps(factors))
    image = str(folder / "slide.tif")
    row = {"sample": SAMPLE, "assay": "visium", "path": str(outs), "image": image, "organism": organism}
    return {**row, "mpp": "1.0"}


def atlas(folder: Path, organism: str = "human", types: int = 2, named_alike: bool = True) -> dict[str, str]:
    """Write a reference of 40 cells; returns its row of ``references.tsv``."""
    rng = np.random.default_rng(2)
    var = genes(organism)
    if not named_alike:
        var = pd.DataFrame({"name": "OTHER" + var["name"], "id": var["id"].str.replace("ENSG00", "ENSG01")})
    obs = pd.DataFrame({"cell_type": [f"type{i % types}" for i in range(40)]})
    obs.index = [f"cell{i}" for i in range(40)]
    values = sp.csr_matrix(rng.poisson(3.0, size=(40, GENES)).astype(np.float32))
    adata = ad.AnnData(values, obs=obs, var=var.set_index("name").rename(columns={"id": "gene_id"}))
    path = folder / "atlas.h5ad"
    folder.mkdir(parents=True, exist_ok=True)
    adata.write_h5ad(path)
    row = {"reference": "atlas", "path": str(path), "label_key": "cell_type"}
    return {**row, "organism": organism}


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


def xenium(folder: Path, matrix: np.ndarray) -> dict[str, str]:
    """A minimal Xenium bundle of 36 cells with an H&E aligned by `matrix` (H&E to morphology pixels)."""
    bundle = folder / "bundle"
    bundle.mkdir(parents=True)
    where = spots()
    names = list(where["barcode"])
    write_matrix(bundle / "cell_feature_matrix.h5", counts(), names, genes())
    cells = pd.DataFrame({"cell_id": names, "cell_area": 80.0, "nucleus_area": 30.0})
    cells["x_centroid"], cells["y_centroid"] = where["pxl_col_in_fullres"], where["pxl_row_in_fullres"]
    cells.to_parquet(bundle / "cells.parquet")
    write_image(folder / "slide.tif")
    np.savetxt(folder / "alignment.csv", matrix, delimiter=",")
    row = {"sample": SAMPLE, "assay": "xenium", "path": str(bundle), "organism": "human"}
    return {**row, "image": str(folder / "slide.tif"), "alignment": str(folder / "alignment.csv")}


def alignment_without_inverse(folder: Path) -> dict[str, str]:
    return xenium(folder, np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 1.0]]))


def alignment_of_another_section(folder: Path) -> dict[str, str]:
    """A matrix of the right scale (1 µm pixels over 0.2125) that shifts the cells off the image."""
    return xenium(folder, np.array([[1 / 0.2125, 0, 9000.0], [0, 1 / 0.2125, 0.0], [0.0, 0.0, 1.0]]))


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
