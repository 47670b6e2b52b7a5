"""Legacy Spatial Transcriptomics: spots of 100 µm, 200 µm apart; a count table, a spot file and a JPEG."""

from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from PIL import Image

from tissuemake.simulate import matrix_files, pictures
from tissuemake.simulate.spot_capture import SpotCapture, capture_under
from tissuemake.simulate.tissue import MARGIN_UM, Section, stream

PITCH_UM = 200.0
SPOT_UM = 100.0
MEAN_UMI = 8000


def capture_st(
    section: Section, cells: pd.DataFrame, molecules: sp.csr_matrix, seed: int, gene_shift: float
) -> SpotCapture:
    """Lay a square array over the section; a spot is called by its array coordinates, ``XxY``."""
    count = int((section.size_um - MARGIN_UM) / PITCH_UM)
    row, col = (axis.ravel() for axis in np.indices((count, count)) + 1)
    rng = stream(seed, "st lattice")
    # Printed spots lie a few µm off their lattice.
    x = MARGIN_UM / 2 + (col - 0.5) * PITCH_UM + rng.normal(0, 4, len(col))
    y = MARGIN_UM / 2 + (row - 0.5) * PITCH_UM + rng.normal(0, 4, len(row))
    in_tissue = (section.zone_at(x, y) >= 0).astype(int)
    spots = pd.DataFrame({"in_tissue": in_tissue, "array_row": row, "array_col": col, "x": x, "y": y})
    spots.index = pd.Index([f"{j}x{i}" for i, j in zip(row, col, strict=True)], name="barcode")
    return capture_under(
        spots, SPOT_UM, cells, molecules, platform="st", mean_umi=MEAN_UMI, seed=seed, gene_shift=gene_shift
    )


def write_st(
    folder: Path, capture: SpotCapture, genes: pd.DataFrame, picture: np.ndarray, mpp: float
) -> None:
    """Write ``counts.tsv.gz`` (spots in tissue x symbols), ``spots.tsv`` and ``tissue_image.jpg`` (half as fine)."""
    folder.mkdir(parents=True, exist_ok=True)
    spots = capture.spots
    inside = spots["in_tissue"].to_numpy(bool)
    table = pd.DataFrame(capture.counts[inside].toarray(), index=spots.index[inside], columns=genes.index)
    matrix_files.write_gzip(folder / "counts.tsv.gz", table.to_csv(sep="\t", index_label=False).encode())
    pixels = spots[["x", "y"]] / (2 * mpp)
    positions = pd.DataFrame(
        {
            "x": spots["array_col"],
            "y": spots["array_row"],
            "new_x": ((spots["x"] - MARGIN_UM / 2) / PITCH_UM + 0.5).round(3),
            "new_y": ((spots["y"] - MARGIN_UM / 2) / PITCH_UM + 0.5).round(3),
            "pixel_x": pixels["x"].round(2),
            "pixel_y": pixels["y"].round(2),
            "selected": spots["in_tissue"],
        }
    )
    positions.to_csv(folder / "spots.tsv", sep="\t", index=False)
    Image.fromarray(pictures.halve(picture)).save(folder / "tissue_image.jpg", quality=88)
