"""A Visium HD output folder, in the layout of Space Ranger 4 with its segmented cells."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from tissuemake.files import write_json
from tissuemake.simulate import matrix_files, pictures
from tissuemake.simulate.hd_capture import BINS_UM, HDCapture, bin_barcodes, cell_barcodes, cell_counts
from tissuemake.simulate.windows import crop

SOFTWARE = "spaceranger-4.0.1"
CHEMISTRY = "Visium HD v1"
PROBE_SET = "Visium Human Transcriptome Probe Set v2.0"
LIBRARY = "simulated_visium_hd"
FIDUCIAL_UM = 330.0


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
