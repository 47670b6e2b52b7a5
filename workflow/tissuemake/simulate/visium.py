"""Visium: spots of 55 µm on a hexagonal lattice of 100 µm, written as Space Ranger 3 writes them."""

from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from PIL import Image, ImageDraw

from tissuemake.files import write_json
from tissuemake.simulate import matrix_files, pictures
from tissuemake.simulate.spot_capture import SpotCapture, capture_under
from tissuemake.simulate.tissue import MARGIN_UM, PITCH_UM, Section, stream

SPOT_UM = 55.0
FIDUCIAL_UM = 89.0
SOFTWARE = "spaceranger-3.1.3"
CHEMISTRY = "Spatial 3' v1"
MEAN_UMI = 9000


def draw_barcodes(count: int, rng: np.random.Generator) -> np.ndarray:
    """Distinct barcodes of 16 nucleotides with the GEM group ``-1``."""
    codes = np.unique(rng.integers(0, 4**16, 2 * count + 16))
    codes = rng.permutation(codes)[:count]
    letters = np.array(list("ACGT"))[(codes[:, None] >> (2 * np.arange(16))) & 3]
    return np.array(["".join(row) + "-1" for row in letters], dtype=object)


def spot_lattice(section: Section, seed: int) -> pd.DataFrame:
    """Spots of an array that covers the section: rows are 86.6 µm apart, columns count half pitches."""
    inner = section.size_um - MARGIN_UM
    rows = int(inner / (PITCH_UM * np.sqrt(3) / 2))
    cols = int(inner / PITCH_UM)
    row, col = (axis.ravel() for axis in np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij"))
    col = 2 * col + row % 2  # a spot's row and column are both even or both odd
    x = MARGIN_UM / 2 + PITCH_UM / 2 + col * PITCH_UM / 2
    y = MARGIN_UM / 2 + PITCH_UM / 2 + row * PITCH_UM * np.sqrt(3) / 2
    barcodes = draw_barcodes(len(row), stream(seed, "visium barcodes"))
    in_tissue = (section.zone_at(x, y) >= 0).astype(int)
    table = {"in_tissue": in_tissue, "array_row": row, "array_col": col, "x": x, "y": y}
    return pd.DataFrame(table, index=pd.Index(barcodes, name="barcode"))


def capture_spots(
    section: Section,
    cells: pd.DataFrame,
    molecules: sp.csr_matrix,
    seed: int,
    gene_shift: float,
    mean_umi: float = MEAN_UMI,
) -> SpotCapture:
    """Let an array over the section capture `molecules` (cells, genes)."""
    return capture_under(
        spot_lattice(section, seed),
        SPOT_UM,
        cells,
        molecules,
        platform="visium",
        mean_umi=mean_umi,
        seed=seed,
        gene_shift=gene_shift,
    )


def write_visium(
    folder: Path, capture: SpotCapture, genes: pd.DataFrame, picture: np.ndarray, mpp: float
) -> None:
    """Write ``tissue_image.tif`` and the Space Ranger folder ``outs``."""
    pictures.write_slide(picture, folder / "tissue_image.tif", mpp)
    outs = folder / "outs"
    spots = capture.spots
    features = matrix_files.feature_table(genes)
    labels = {"software": SOFTWARE, "chemistry": CHEMISTRY, "library": "simulated_visium"}
    # Space Ranger sorts the barcodes of the matrix, not those of the positions.
    order = np.argsort(spots.index.to_numpy(str))
    filtered = order[spots["in_tissue"].to_numpy()[order] == 1]
    for name, chosen in (("raw", order), ("filtered", filtered)):
        barcodes, counts = spots.index.to_numpy(str)[chosen], capture.counts[chosen]
        matrix_files.write_h5(outs / f"{name}_feature_bc_matrix.h5", counts, barcodes, features, **labels)
        matrix_files.write_mtx(outs / f"{name}_feature_bc_matrix", counts, barcodes, features)
    _write_spatial(outs / "spatial", spots, picture, mpp)
    _write_metrics(outs / "metrics_summary.csv", capture.counts[filtered])


def _write_spatial(folder, spots, picture, mpp):
    hires, lowres = pictures.write_previews(picture, folder)
    positions = spots[["in_tissue", "array_row", "array_col"]].assign(
        pxl_row_in_fullres=np.rint(spots["y"] / mpp).astype(int),
        pxl_col_in_fullres=np.rint(spots["x"] / mpp).astype(int),
    )
    positions.to_csv(folder / "tissue_positions.csv")
    scales = {
        "tissue_hires_scalef": hires,
        "tissue_lowres_scalef": lowres,
        "fiducial_diameter_fullres": FIDUCIAL_UM / mpp,
        "spot_diameter_fullres": SPOT_UM / mpp,
    }
    write_json(scales, folder / "scalefactors_json.json")
    with Image.open(folder / "tissue_hires_image.png") as image:
        drawn = image.convert("RGB")
    drawn.save(folder / "aligned_fiducials.jpg", quality=80)
    pen, radius = ImageDraw.Draw(drawn), SPOT_UM / mpp / 2 * hires
    for x, y in spots.loc[spots["in_tissue"] == 1, ["x", "y"]].to_numpy() / mpp * hires:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(60, 60, 220))
    drawn.save(folder / "detected_tissue_image.jpg", quality=80)


def _write_metrics(path, counts):
    totals = np.asarray(counts.sum(axis=1)).ravel()
    genes = np.diff(counts.indptr)
    row = {
        "Sample ID": "simulated_visium",
        "Number of Spots Under Tissue": len(totals),
        "Number of Reads": int(totals.sum() * 3),
        "Mean Reads per Spot": float(totals.mean() * 3),
        "Median Genes per Spot": float(np.median(genes)),
        "Median UMI Counts per Spot": float(np.median(totals)),
        "Total Genes Detected": int((counts.sum(axis=0) > 0).sum()),
    }
    pd.DataFrame([row]).to_csv(path, index=False)
