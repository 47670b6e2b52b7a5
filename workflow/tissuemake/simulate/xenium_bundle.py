"""A Xenium output bundle, in the layout of Xenium Onboard Analysis 4, with a registered H&E picture."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from tissuemake.files import write_json
from tissuemake.simulate import matrix_files, pictures
from tissuemake.simulate.tissue import stream
from tissuemake.simulate.xenium_capture import CONTROLS, MIN_QV, XeniumCapture

PIXEL_UM = 0.2125
SOFTWARE = "xenium-4.0.0.14"
_HE_ANGLE = np.deg2rad(4.0)
_HE_SHIFT_UM = np.array([35.0, -20.0])  # the H&E's corner in the morphology picture's frame
_CATEGORY = {
    "Gene Expression": "predesigned_gene",
    "Negative Control Probe": "negative_control_probe",
    "Negative Control Codeword": "negative_control_codeword",
    "Unassigned Codeword": "unassigned_codeword",
}


def cell_ids(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct cell ids as numbers (count, 2) uint32 and as strings: hex digits 0-f written a-p, then ``-1``."""
    rng = stream(seed, "xenium cell ids")
    prefix = np.sort(rng.choice(2**28, size=count, replace=False)).astype(np.uint32)
    letters = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
    names = np.array([f"{number:08x}".translate(letters) + "-1" for number in prefix], dtype=object)
    return np.column_stack([prefix, np.ones(count, dtype=np.uint32)]), names


def write_xenium(
    folder: Path, capture: XeniumCapture, picture: np.ndarray, mpp: float, seed: int
) -> np.ndarray:
    """Write the bundle and return the cell ids in its order.

    Parameters
    ----------
    picture
        H&E of the whole section, `mpp` µm per pixel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers, names = cell_ids(len(capture.cells), seed)
    cells = _cell_table(capture, names)
    cells.to_parquet(folder / "cells.parquet", index=False)
    matrix_files.write_gzip(folder / "cells.csv.gz", cells.to_csv(index=False).encode())
    matrix_files.write_h5(
        folder / "cell_feature_matrix.h5",
        capture.counts,
        names,
        capture.features,
        software=SOFTWARE,
        chemistry="Xenium",
        library="simulated_xenium",
    )
    _write_transcripts(folder / "transcripts.parquet", capture, names)
    for kind, radii in (("cell", capture.outlines.cell), ("nucleus", capture.outlines.nucleus)):
        _write_boundaries(folder / f"{kind}_boundaries.parquet", capture, radii, names)
    # Drawn one at a time: of a large window each takes hundreds of MB.
    masks = (_label(capture, radii) for radii in (capture.outlines.nucleus, capture.outlines.cell))
    _write_zarr(folder / "cells.zarr.zip", numbers, cells, masks)
    dapi = folder / "morphology_focus" / "ch0000_dapi.ome.tif"
    pictures.write_ome(_stain_dapi(capture, seed), dapi, PIXEL_UM, "DAPI")
    _write_he(folder, capture, picture, mpp)
    _write_descriptions(folder, capture, cells)
    return names


def _cell_table(capture, names):
    features = capture.features["feature_type"].to_numpy()
    table = {"cell_id": names}
    table |= {
        "x_centroid": capture.nuclei["x"].to_numpy(float),
        "y_centroid": capture.nuclei["y"].to_numpy(float),
    }

    def sums(kind):
        return (
            np.asarray(capture.counts[:, np.flatnonzero(features == kind)].sum(axis=1))
            .ravel()
            .astype(np.int64)
        )

    table["transcript_counts"] = sums("Gene Expression")
    table["control_probe_counts"] = sums("Negative Control Probe")
    table["genomic_control_counts"] = np.zeros(len(names), dtype=np.int64)
    table["control_codeword_counts"] = sums("Negative Control Codeword")
    table["unassigned_codeword_counts"] = sums("Unassigned Codeword")
    table["deprecated_codeword_counts"] = np.zeros(len(names), dtype=np.int64)
    table["total_counts"] = np.asarray(capture.counts.sum(axis=1)).ravel().astype(np.int64)
    table["cell_area"] = capture.outlines.area(capture.outlines.cell)
    table["nucleus_area"] = capture.outlines.area(capture.outlines.nucleus)
    table["nucleus_count"] = np.ones(len(names), dtype=np.int64)
    table["segmentation_method"] = "Segmented by nucleus expansion of 5.0µm"
    return pd.DataFrame(table)


def _write_transcripts(path, capture, names):
    table = capture.transcripts
    feature = table["feature"].to_numpy()
    kinds = capture.features["feature_type"].to_numpy()
    out = pd.DataFrame(
        {
            "transcript_id": (np.uint64(2) ** np.uint64(48) + np.arange(len(table), dtype=np.uint64)),
            # -1, no cell, is the last.
            "cell_id": np.append(names, "UNASSIGNED")[table["cell"]],
            "overlaps_nucleus": table["in_nucleus"].astype(np.uint8),
            "feature_name": capture.features["name"].to_numpy()[feature],
            "x_location": table["x"].astype(np.float32),
            "y_location": table["y"].astype(np.float32),
            "z_location": table["z"].astype(np.float32),
            "qv": table["qv"].astype(np.float32),
            "fov_name": _fields(table),
            "nucleus_distance": table["nucleus_distance"].astype(np.float32),
            "codeword_index": feature.astype(np.int32),
            "codeword_category": np.array([_CATEGORY[kind] for kind in kinds])[feature],
            "is_gene": (kinds == "Gene Expression")[feature],
        }
    )
    out.to_parquet(path, index=False)


def _fields(table, size_um=500.0):
    """Name of the field of view of every transcript: letters downwards, numbers to the right."""
    rows, cols = (table["y"] // size_um).astype(int) % 26, (table["x"] // size_um).astype(int)
    width = cols.max() + 1
    names = np.array([f"{chr(65 + row)}{col + 1}" for row in range(26) for col in range(width)], dtype=object)
    return names[rows * width + cols]


def _write_boundaries(path, capture, radii, names):
    rings = capture.outlines.polygons(radii)
    rings = np.clip(rings, 0, (capture.window.width, capture.window.height))
    corners = rings.shape[1]
    table = {
        "cell_id": np.repeat(names, corners),
        "vertex_x": rings[:, :, 0].ravel().astype(np.float32),
        "vertex_y": rings[:, :, 1].ravel().astype(np.float32),
        "label_id": np.repeat(np.arange(1, len(names) + 1, dtype=np.int32), corners),
    }
    pd.DataFrame(table).to_parquet(path, index=False)


def _label(capture, radii):
    """Raster of cell numbers (from 1) at the morphology picture's resolution."""
    size = (round(capture.window.width / PIXEL_UM), round(capture.window.height / PIXEL_UM))
    canvas = Image.new("I", size, 0)
    pen = ImageDraw.Draw(canvas)
    for number, ring in enumerate(capture.outlines.polygons(radii) / PIXEL_UM, start=1):
        pen.polygon(ring.ravel().tolist(), fill=number)
    return np.asarray(canvas).view(np.uint32)


def _stain_dapi(capture, seed):
    """Fluorescence of the nuclei, blurred by the optics, over a dark background; uint16."""
    labels = _label(capture, capture.outlines.nucleus)
    bright = np.append(0, 1500 + 2500 * capture.nuclei["density"].to_numpy()).astype(np.float32)
    noise = stream(seed, "dapi").normal(1, 0.06, (512, 512)).astype(np.float32)
    picture = np.empty(labels.shape, dtype=np.uint16)
    cols = np.arange(labels.shape[1])[None, :] % 512
    blur, halo = 3, 12
    for top in range(0, labels.shape[0], 1024):
        start = max(top - halo, 0)
        signal = gaussian_filter(bright[labels[start : top + 1024 + halo]], blur)[top - start :][:1024]
        rows = np.arange(top, top + len(signal))[:, None] % 512
        # Steps of 16 grey levels keep the file small and lie below the noise.
        picture[top : top + 1024] = np.rint((signal * noise[rows, cols] + 160) / 16) * 16
    return picture


def _write_zarr(path, numbers, cells, masks):
    """``cells.zarr.zip``: zarr format 2; zipped by hand so that no time of day enters."""
    store = zarr.storage.MemoryStore()
    root = zarr.open_group(store, mode="w", zarr_format=2)
    root.attrs.update({"major_version": 4, "minor_version": 0, "number_cells": len(cells)})
    columns = ["x_centroid", "y_centroid", "cell_area", "x_centroid", "y_centroid", "nucleus_area"]
    names = ["cell_centroid_x", "cell_centroid_y", "cell_area"]
    names += ["nucleus_centroid_x", "nucleus_centroid_y", "nucleus_area", "z_level", "nucleus_count"]
    summary = np.column_stack([cells[columns], np.zeros(len(cells)), np.ones(len(cells))])
    root.create_array("cell_id", data=numbers)
    root.create_array("cell_summary", data=summary).attrs["column_names"] = names
    for index, mask in enumerate(masks):
        root.create_array(f"masks/{index}", data=mask, chunks=(1024, 1024))
        rows = np.arange(len(cells), dtype=np.uint32)
        root.create_array(f"polygon_sets/{index}/cell_index", data=rows)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for key in sorted(store._store_dict):
            archive.writestr(zipfile.ZipInfo(key), store._store_dict[key].to_bytes())


def he_to_morphology(mpp: float) -> np.ndarray:
    """(3, 3) matrix from pixels of the H&E picture to pixels of the morphology picture: turned, scaled, shifted."""
    scale = mpp / PIXEL_UM
    cosine, sine = scale * np.cos(_HE_ANGLE), scale * np.sin(_HE_ANGLE)
    shift = _HE_SHIFT_UM / PIXEL_UM
    return np.array(
        [[cosine, -sine, shift[0] - 60 / PIXEL_UM], [sine, cosine, shift[1] - 60 / PIXEL_UM], [0, 0, 1]]
    )


def _write_he(folder, capture, picture, mpp):
    """The H&E taken after the run, on another microscope: turned against the morphology picture."""
    matrix = he_to_morphology(mpp)
    reach = np.array([capture.window.width, capture.window.height]) + 160
    size = tuple(int(side / mpp) for side in reach)
    # From H&E pixels to µm of the window, of the section, to pixels of its picture.
    to_picture = np.diag([1 / mpp, 1 / mpp, 1]) @ np.array(
        [[PIXEL_UM, 0, capture.window.left], [0, PIXEL_UM, capture.window.top], [0, 0, 1]]
    )
    inverse = (to_picture @ matrix)[:2].ravel()
    turned = Image.fromarray(picture).transform(
        size, Image.Transform.AFFINE, tuple(inverse), Image.Resampling.BILINEAR, fillcolor=(244, 244, 244)
    )
    pictures.write_ome(np.asarray(turned), folder / "he_image.ome.tif", mpp, ["R", "G", "B"])
    text = io.StringIO()
    np.savetxt(text, matrix, delimiter=",", fmt="%.10g")
    (folder / "he_imagealignment.csv").write_text(text.getvalue())


def _write_descriptions(folder, capture, cells):
    """``experiment.xenium``, ``gene_panel.json``, ``metrics_summary.csv``."""
    area = capture.window.width * capture.window.height
    good = capture.transcripts["qv"] >= MIN_QV
    genes = capture.features[capture.features["feature_type"] == "Gene Expression"]
    per_cell = float(cells["transcript_counts"].median())
    per_area = float(good.sum() / area * 100)
    experiment = {
        "major_version": 7,
        "minor_version": 1,
        "patch_version": 0,
        "run_name": "simulated",
        "run_start_time": "2026-01-01T00:00:00Z",
        "region_name": "simulated_xenium",
        "preservation_method": "FFPE",
        "num_cells": len(cells),
        "transcripts_per_cell": per_cell,
        "transcripts_per_100um": per_area,
        "cassette_name": "simulated",
        "slide_id": "0000000",
        "panel_design_id": "simulated_v1",
        "panel_name": "Simulated tissue panel",
        "panel_organism": "Human",
        "panel_tissue_type": "Simulated",
        "panel_num_targets_predesigned": len(genes),
        "panel_num_targets_custom": 0,
        "pixel_size": PIXEL_UM,
        "instrument_sn": "XETG00000",
        "instrument_sw_version": "4.0.0.0",
        "analysis_sw_version": SOFTWARE,
        "experiment_uuid": "00000000-0000-0000-0000-000000000000",
        "z_step_size": 3.0,
        "segmentation_stain": "DAPI",
        "images": {"morphology_focus_filepath": "morphology_focus/ch0000_dapi.ome.tif"},
        "xenium_explorer_files": {"cells_zarr_filepath": "cells.zarr.zip"},
    }
    write_json(experiment, folder / "experiment.xenium")
    targets = [
        {"type": {"data": {"id": row.id, "name": row.name_}, "descriptor": "gene"}, "codewords": [number]}
        for number, row in enumerate(genes.rename(columns={"name": "name_"}).itertuples())
    ]
    panel = {"identity": {"design_id": "simulated_v1", "name": "Simulated tissue panel"}}
    write_json({"payload": {"panel": panel, "targets": targets}}, folder / "gene_panel.json")
    metrics = {
        "run_name": "simulated",
        "region_name": "simulated_xenium",
        "panel_name": "Simulated tissue panel",
        "region_area": area,
        "num_cells_detected": len(cells),
        "median_transcripts_per_cell": per_cell,
        "fraction_transcripts_assigned": float((capture.transcripts["cell"] >= 0).mean()),
        "fraction_transcripts_decoded_q20": float(good.mean()),
        "num_control_features": sum(CONTROLS.values()),
    }
    pd.DataFrame([metrics]).to_csv(folder / "metrics_summary.csv", index=False)
