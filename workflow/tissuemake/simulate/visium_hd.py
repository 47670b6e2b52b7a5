"""Visium HD: 2 µm bins, their sums over 8 and 16 µm, and segmented cells, written as Space Ranger 4 writes them."""

import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.files import write_json
from tissuemake.simulate import matrix_files, pictures
from tissuemake.simulate.expression import calibrate, platform_efficiency, thin
from tissuemake.simulate.outlines import Outlines, one_by_one, outline_cells, scatter
from tissuemake.simulate.tissue import Section, stream
from tissuemake.simulate.windows import Window, crop, strip

SOFTWARE = "spaceranger-4.0.1"
CHEMISTRY = "Visium HD v1"
PROBE_SET = "Visium Human Transcriptome Probe Set v2.0"
LIBRARY = "simulated_visium_hd"
BINS_UM = (2, 8, 16)
MEAN_UMI_8UM = 230
FIDUCIAL_UM = 330.0
_DIFFUSED = 0.15
_DIFFUSION_UM = 5.0


@dataclass(frozen=True)
class HDCapture:
    """What a Visium HD slide saw.

    Parameters
    ----------
    window
        Where it lay on the section.
    counts
        By bin size (µm): (bins, probes) in raster order, glass included.
    in_tissue
        By bin size: (rows, cols) bool.
    probes
        Genes that have probes, as `Biology.genes`.
    cells
        Index (into the section's cells) of the segmented ones; their outlines; and for every 2 µm bin the
        segmented cell it lies in (-1: none) and whether in the nucleus.
    """

    window: Window
    counts: dict[int, sp.csr_matrix]
    in_tissue: dict[int, np.ndarray]
    probes: pd.DataFrame
    cells: np.ndarray
    outlines: Outlines
    cell_of_bin: np.ndarray
    bin_in_nucleus: np.ndarray


def capture_bins(
    section: Section,
    nuclei: pd.DataFrame,
    molecules: sp.csr_matrix,
    genes: pd.DataFrame,
    seed: int,
    gene_shift: float,
    mean_umi_8um: float = MEAN_UMI_8UM,
) -> HDCapture:
    """Let 2 µm bins capture `molecules` (cells, genes) of the cells in a strip of the section."""
    window = strip(section, 0.17, 0.22, 16.0)
    rng = stream(seed, "visium hd")
    # The probe panel leaves some genes out.
    probed = np.sort(rng.permutation(len(genes))[: round(0.95 * len(genes))])
    shape = (round(window.height / 2), round(window.width / 2))
    tissue = _tissue_bins(section, window)
    near = np.flatnonzero(window.holds(nuclei, 20.0))
    outlines = outline_cells(nuclei.iloc[near])
    part = molecules[near][:, probed]
    efficiency = platform_efficiency(seed, "visium hd", len(genes), gene_shift)[probed]
    inside = window.holds(nuclei.iloc[near])
    totals = np.asarray(part[inside].sum(axis=0)).ravel() / max(tissue[8].sum(), 1)
    caught = thin(part, calibrate(efficiency, totals, mean_umi_8um), rng)
    counts = _bin_molecules(caught, outlines, window, shape, rng)
    rows, cols = (axis.ravel() for axis in np.indices(shape))
    middle = np.column_stack([window.left + 2 * cols + 1.0, window.top + 2 * rows + 1.0])
    cell, in_nucleus, _ = outlines.locate(middle)
    cell[~tissue[2].ravel()] = -1
    seen = np.unique(cell[cell >= 0])
    renumber = np.full(len(near) + 1, -1)
    renumber[seen] = np.arange(len(seen))
    kept = Outlines(outlines.centres[seen], outlines.nucleus[seen], outlines.cell[seen])
    tables = {2: counts} | {size: _coarser(counts, shape, size // 2) for size in BINS_UM[1:]}
    return HDCapture(
        window, tables, tissue, genes.iloc[probed], near[seen], kept, renumber[cell], in_nucleus & (cell >= 0)
    )


def _tissue_bins(section, window):
    """Tissue is decided on 16 µm bins and inherited, so that filtered tables sum up exactly."""
    rows, cols = round(window.height / 16), round(window.width / 16)
    x = window.left + 16 * np.arange(cols) + 8
    y = window.top + 16 * np.arange(rows) + 8
    coarse = section.zone_at(*np.meshgrid(x, y)) >= 0
    return {size: coarse.repeat(16 // size, axis=0).repeat(16 // size, axis=1) for size in BINS_UM}


def _bin_molecules(caught, outlines, window, shape, rng):
    """(bins, probes) from molecules placed in their cells; some diffuse, a few end anywhere."""
    cell, gene = one_by_one(caught.indptr, caught.indices, caught.data)
    place = scatter(outlines, cell, rng.random(len(cell)) < 0.35, rng)
    moved = rng.random(len(cell)) < _DIFFUSED
    place[moved] += rng.normal(0, _DIFFUSION_UM, (moved.sum(), 2))
    stray = rng.random(len(cell)) < 0.01
    place[stray] = rng.uniform(
        (window.left, window.top),
        (window.left + window.width, window.top + window.height),
        (stray.sum(), 2),
    )
    col = np.floor((place[:, 0] - window.left) / 2).astype(np.int64)
    row = np.floor((place[:, 1] - window.top) / 2).astype(np.int64)
    inside = (col >= 0) & (col < shape[1]) & (row >= 0) & (row < shape[0])
    bins = (row * shape[1] + col)[inside]
    ones = np.ones(len(bins), dtype=np.int32)
    table = sp.coo_matrix((ones, (bins, gene[inside])), shape=(shape[0] * shape[1], caught.shape[1]))
    return table.tocsr()


def _coarser(counts, shape, factor):
    """Sum `factor` x `factor` bins."""
    rows, cols = (axis.ravel() for axis in np.indices(shape))
    target = (rows // factor) * (shape[1] // factor) + cols // factor
    member = sp.csr_matrix((np.ones(len(target), dtype=np.int32), (target, np.arange(len(target)))))
    return (member @ counts).tocsr()


def bin_barcodes(size: int, shape: tuple[int, int]) -> np.ndarray:
    """Barcodes of all bins of `size` µm in raster order, e.g. ``s_008um_00044_00076-1``."""
    return np.array(
        [f"s_{size:03d}um_{row:05d}_{col:05d}-1" for row in range(shape[0]) for col in range(shape[1])],
        dtype=object,
    )


def cell_barcodes(count: int) -> np.ndarray:
    """Names of segmented cells, e.g. ``cellid_000000001-1``."""
    return np.array([f"cellid_{number:09d}-1" for number in range(1, count + 1)], dtype=object)


def write_visium_hd(folder: Path, capture: HDCapture, picture: np.ndarray, mpp: float) -> None:
    """Write ``tissue_image.tif`` and the Space Ranger folder ``outs``."""
    part, left, top = crop(picture, capture.window, mpp)
    pictures.write_slide(part, folder / "tissue_image.tif", mpp)
    outs = folder / "outs"
    features = matrix_files.feature_table(capture.probes)
    labels = {"software": SOFTWARE, "chemistry": CHEMISTRY, "library": LIBRARY, "probe_set": PROBE_SET}
    hires, lowres = pictures.write_previews(part, outs / "spatial")
    scales = {
        "microns_per_pixel": mpp,
        "regist_target_img_scalef": hires,
        "tissue_lowres_scalef": lowres,
        "fiducial_diameter_fullres": FIDUCIAL_UM / mpp,
        "tissue_hires_scalef": hires,
    }
    shift = (capture.window.left - left, capture.window.top - top)
    for size in BINS_UM:
        here = outs / "binned_outputs" / f"square_{size:03d}um"
        _write_bins(here, capture, size, features, labels, shift, mpp)
        _copy_previews(outs / "spatial", here / "spatial")
        sizes = {"spot_diameter_fullres": size / mpp, "bin_size_um": float(size)}
        write_json(sizes | scales, here / "spatial" / "scalefactors_json.json")
    segmented = outs / "segmented_outputs"
    _write_cells(segmented, capture, features, labels, np.array([left, top]), mpp)
    _copy_previews(outs / "spatial", segmented / "spatial")
    write_json(scales, segmented / "spatial" / "scalefactors_json.json")
    _write_mappings(outs / "barcode_mappings.parquet", capture)
    _write_slice(outs / "feature_slice.h5", capture, features, shift, mpp)


def _copy_previews(source, target):
    target.mkdir(parents=True, exist_ok=True)
    for name in ("tissue_hires_image.png", "tissue_lowres_image.png"):
        (target / name).write_bytes((source / name).read_bytes())


def _write_bins(folder, capture, size, features, labels, shift, mpp):
    tissue = capture.in_tissue[size]
    barcodes, counts = bin_barcodes(size, tissue.shape), capture.counts[size]
    inside = tissue.ravel()
    matrix_files.write_h5(folder / "raw_feature_bc_matrix.h5", counts, barcodes, features, **labels)
    matrix_files.write_h5(
        folder / "filtered_feature_bc_matrix.h5", counts[inside], barcodes[inside], features, **labels
    )
    rows, cols = (axis.ravel() for axis in np.indices(tissue.shape))
    positions = pd.DataFrame(
        {
            "barcode": barcodes,
            "in_tissue": inside.astype(np.uint8),
            "array_row": rows.astype(np.uint32),
            "array_col": cols.astype(np.uint32),
            "pxl_row_in_fullres": (shift[1] + (rows + 0.5) * size) / mpp,
            "pxl_col_in_fullres": (shift[0] + (cols + 0.5) * size) / mpp,
        }
    )
    (folder / "spatial").mkdir(parents=True, exist_ok=True)
    positions.to_parquet(folder / "spatial" / "tissue_positions.parquet", index=False)


def _write_cells(folder, capture, features, labels, origin, mpp):
    counts = cell_counts(capture)
    names = cell_barcodes(len(capture.cells))
    for name in ("filtered", "raw"):
        matrix_files.write_h5(folder / f"{name}_feature_cell_matrix.h5", counts, names, features, **labels)
    for name, radii in (("cell", capture.outlines.cell), ("nucleus", capture.outlines.nucleus)):
        rings = (capture.outlines.polygons(radii) - origin) / mpp
        shapes = [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [np.round(ring, 2).tolist()]},
                "properties": {"cell_id": number},
            }
            for number, ring in enumerate(rings, start=1)
        ]
        text = json.dumps({"type": "FeatureCollection", "features": shapes})
        (folder / f"{name}_segmentations.geojson").write_text(text, encoding="utf-8")


def cell_counts(capture: HDCapture) -> sp.csr_matrix:
    """(segmented cells, probes): sums of the 2 µm bins in each cell."""
    bins = np.flatnonzero(capture.cell_of_bin >= 0)
    member = sp.csr_matrix(
        (np.ones(len(bins), dtype=np.int32), (capture.cell_of_bin[bins], bins)),
        shape=(len(capture.cells), len(capture.cell_of_bin)),
    )
    return (member @ capture.counts[2]).tocsr()


def _write_mappings(path, capture):
    shape = capture.in_tissue[2].shape
    inside = capture.in_tissue[2].ravel()
    rows, cols = (axis.ravel()[inside] for axis in np.indices(shape))
    table = {}
    for size in BINS_UM:
        all_names = bin_barcodes(size, capture.in_tissue[size].shape)
        step = size // 2
        table[f"square_{size:03d}um"] = all_names[(rows // step) * (shape[1] // step) + cols // step]
    cell = capture.cell_of_bin[inside]
    names = np.append(cell_barcodes(len(capture.cells)), None)
    table |= {"cell_id": names[cell], "in_nucleus": capture.bin_in_nucleus[inside], "in_cell": cell >= 0}
    pd.DataFrame(table).to_parquet(path, index=False)


def _write_slice(path, capture, features, shift, mpp):
    """``feature_slice.h5``: layout and transforms, features, total UMIs and the tissue mask by 2 µm bin."""
    shape = capture.in_tissue[2].shape
    forward = np.array(
        [[2 / mpp, 0, shift[0] / mpp + 1 / mpp], [0, 2 / mpp, shift[1] / mpp + 1 / mpp], [0, 0, 1]]
    )
    same = np.eye(3).tolist()
    layout = {"slide_uid": "H1-SIMULATE", "file_format": "1.0", "slide_design": "visium_hd_v1"}
    layout["transform"] = np.eye(3).ravel().tolist()
    metadata = {
        "sample_id": LIBRARY,
        "sample_desc": "Simulated section",
        "slide_name": "visium_hd_v1",
        "nrows": shape[0],
        "ncols": shape[1],
        "spot_pitch": 2.0,
        "hd_layout_json": json.dumps(layout),
        "transform_matrices": {
            "spot_colrow_to_microscope_colrow": forward.tolist(),
            "microscope_colrow_to_spot_colrow": np.linalg.inv(forward).tolist(),
            "spot_colrow_to_cytassist_colrow": same,
            "cytassist_colrow_to_spot_colrow": same,
        },
    }
    with h5py.File(path, "w") as handle:
        handle.attrs["filetype"] = "feature_slice"
        handle.attrs["metadata_json"] = json.dumps(metadata)
        handle.attrs["software_version"] = SOFTWARE
        handle.attrs["version"] = "0.1.0"
        matrix_files.write_features(handle, features, PROBE_SET)
        total = np.asarray(capture.counts[2].sum(axis=1)).reshape(shape)
        for name, grid in (("umis/total", total), ("masks/filtered", capture.in_tissue[2])):
            row, col = np.nonzero(grid)
            group = handle.create_group(name)
            for key, values in (("row", row), ("col", col), ("data", grid[row, col])):
                group.create_dataset(
                    key, data=values.astype(np.uint32), compression="gzip", compression_opts=1
                )
