"""Vendor folders of any size in little memory: a Xenium bundle and Visium HD bins whose counts are drawn at random."""

import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
import zarr
from PIL import Image

from tissuemake.simulate import pictures
from tissuemake.simulate.matrix_files import feature_table, write_features, write_h5
from tissuemake.simulate.xenium_bundle import PIXEL_UM, SOFTWARE, cell_ids

GENES = 480
CELL_UM = 10.0
PART = 2_000_000
CORNERS = 13
LAYERS = 8
MORPHOLOGY = 2048  # pixels of each side; the picture is not what is measured


def genes(count: int = GENES) -> pd.DataFrame:
    """Made-up genes by symbol, with Ensembl ids."""
    names = [f"GENE{number:05d}" for number in range(count)]
    return pd.DataFrame({"gene_id": [f"ENSG{number:011d}" for number in range(count)]}, index=names)


def write_xenium(folder: Path, cells: int, transcripts: int, seed: int = 0) -> Path:
    """A bundle of `cells` on a square lattice and `transcripts`, a twentieth of them in no cell.

    Every part that spatialdata-io 0.7 asks for is there. A cell's counts follow one of eight types.
    """
    folder.mkdir(parents=True)
    numbers, names = cell_ids(cells, seed)
    side = int(np.ceil(np.sqrt(cells)))
    centres = np.column_stack([np.arange(cells) % side, np.arange(cells) // side]) * CELL_UM + CELL_UM / 2
    counts = _write_transcripts(folder / "transcripts.parquet", names, centres, transcripts, seed)
    features = feature_table(genes())
    told = {"software": SOFTWARE, "chemistry": "Xenium", "library": "large"}
    write_h5(folder / "cell_feature_matrix.h5", counts, names, features, **told)
    _write_cells(folder, numbers, names, centres, np.asarray(counts.sum(axis=1)).ravel())
    for kind, radius in (("cell", 4.5), ("nucleus", 2.5)):
        _write_rings(folder / f"{kind}_boundaries.parquet", names, centres, radius)
    picture = np.random.default_rng(seed).integers(0, 4000, (MORPHOLOGY, MORPHOLOGY), dtype=np.uint16)
    pictures.write_ome(picture, folder / "morphology_focus" / "ch0000_dapi.ome.tif", PIXEL_UM, "DAPI")
    experiment = {
        "run_name": "large",
        "region_name": "large",
        "panel_organism": "Human",
        "num_cells": cells,
        "pixel_size": PIXEL_UM,
        "analysis_sw_version": SOFTWARE,
        "images": {"morphology_focus_filepath": "morphology_focus/ch0000_dapi.ome.tif"},
        "xenium_explorer_files": {"cells_zarr_filepath": "cells.zarr.zip"},
    }
    (folder / "experiment.xenium").write_text(json.dumps(experiment))
    return folder


def _write_transcripts(path, names, centres, transcripts, seed):
    """The table, part by part as the instrument writes it: from top to bottom; returns counts (cells, genes)."""
    rng = np.random.default_rng(seed)
    weights = rng.gamma(0.5, 1.0, (8, GENES))
    chances = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    symbols = pa.array(genes().index)
    texts = pa.array(np.append(names, "UNASSIGNED"))
    counts = sp.csr_matrix((len(names), GENES), dtype=np.int32)
    writer = None
    for start in range(0, transcripts, PART):
        number = min(PART, transcripts - start)
        bounds = np.array([start, start + number]) * len(names) // transcripts
        cell = np.sort(rng.integers(bounds[0], max(bounds[1], bounds[0] + 1), number))
        drawn = rng.random(number).astype(np.float32)
        gene = np.empty(number, np.int32)
        for kind in range(8):
            of_kind = cell % 8 == kind
            gene[of_kind] = np.searchsorted(chances[kind], drawn[of_kind]).clip(max=GENES - 1)
        qv = rng.uniform(10, 40, number).astype(np.float32)
        loose = rng.random(number) < 0.05
        good = (qv >= 20) & ~loose
        ones = np.ones(good.sum(), np.int32)
        counts = counts + sp.csr_matrix((ones, (cell[good], gene[good])), shape=counts.shape)
        place = centres[cell] + rng.normal(0, 2, (number, 2))
        owner = np.where(loose, len(names), cell).astype(np.int32)
        table = pa.table(
            {
                "transcript_id": pa.array(np.arange(start, start + number, dtype=np.uint64)),
                "cell_id": texts.take(pa.array(owner)),
                "overlaps_nucleus": pa.array((drawn < 0.4).astype(np.uint8)),
                "feature_name": symbols.take(pa.array(gene)),
                "x_location": pa.array(place[:, 0].astype(np.float32)),
                "y_location": pa.array(place[:, 1].astype(np.float32)),
                "z_location": pa.array(drawn * 10),
                "qv": pa.array(qv),
                "fov_name": pa.array(["A1"]).take(pa.array(np.zeros(number, np.int32))),
                "nucleus_distance": pa.array(drawn),
                "codeword_index": pa.array(gene),
                "codeword_category": pa.array(["predesigned_gene"]).take(
                    pa.array(np.zeros(number, np.int32))
                ),
                "is_gene": pa.array(np.ones(number, bool)),
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=100_000)
    writer.close()
    return counts


def _write_cells(folder, numbers, names, centres, totals):
    table = pd.DataFrame({"cell_id": names, "x_centroid": centres[:, 0], "y_centroid": centres[:, 1]})
    table["transcript_counts"] = table["total_counts"] = totals.astype(np.int64)
    for kind in ("control_probe", "genomic_control", "control_codeword", "unassigned_codeword"):
        table[f"{kind}_counts"] = np.int64(0)
    table["cell_area"], table["nucleus_area"] = 63.0, 20.0
    table.to_parquet(folder / "cells.parquet", index=False)
    store = zarr.storage.MemoryStore()
    root = zarr.open_group(store, mode="w", zarr_format=2)
    root.attrs.update({"major_version": 4, "minor_version": 0, "number_cells": len(names)})
    columns = ["cell_centroid_x", "cell_centroid_y", "cell_area"]
    columns += ["nucleus_centroid_x", "nucleus_centroid_y", "nucleus_area", "z_level", "nucleus_count"]
    summary = np.column_stack([centres, table["cell_area"], centres, table["nucleus_area"], 0 * centres])
    root.create_array("cell_id", data=numbers)
    root.create_array("cell_summary", data=summary).attrs["column_names"] = columns
    for index in range(2):
        # Labels are not read in the comparison: a raster of 7 × 7 mm would be nothing but the writer's work.
        root.create_array(f"masks/{index}", data=np.zeros((64, 64), np.uint32), chunks=(64, 64))
        root.create_array(f"polygon_sets/{index}/cell_index", data=np.arange(len(names), dtype=np.uint32))
    with zipfile.ZipFile(folder / "cells.zarr.zip", "w", zipfile.ZIP_STORED) as archive:
        for key in sorted(store._store_dict):
            archive.writestr(zipfile.ZipInfo(key), store._store_dict[key].to_bytes())


def _write_rings(path, names, centres, radius):
    angle = np.linspace(0, 2 * np.pi, CORNERS)
    corners = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    rings = (centres[:, None] + corners).astype(np.float32)
    table = pd.DataFrame({"cell_id": np.repeat(names, CORNERS)})
    table["vertex_x"], table["vertex_y"] = rings[:, :, 0].ravel(), rings[:, :, 1].ravel()
    table["label_id"] = np.repeat(np.arange(1, len(names) + 1, dtype=np.int32), CORNERS)
    table.to_parquet(path, index=False)


def write_visium_hd(folder: Path, side: int, values_per_bin: float = 12.0, n_genes: int = 18_000) -> Path:
    """Square capture area of `side` × `side` bins of 2 µm, and one of 8 µm bins, of tissue in eight layers.

    Both are drawn apart: the bins of 8 µm do not add up from those of 2 µm.
    """
    rng = np.random.default_rng(0)
    for factor, size in ((1, 2), (4, 8)):
        outs = folder / "binned_outputs" / f"square_{size:03d}um"
        (outs / "spatial").mkdir(parents=True)
        edge = side // factor
        mean = values_per_bin * factor**2 * 0.8
        _write_bins(outs / "filtered_feature_bc_matrix.h5", edge, size, mean, n_genes, rng)
        _write_places(outs / "spatial", edge, size)
    return folder


def bin_names(edge: int, size: int, start: int, stop: int) -> np.ndarray:
    """Barcodes of bins, row after row, as bytes."""
    flat = np.arange(start, stop)
    rows = np.char.zfill((flat // edge).astype("S5"), 5)
    cols = np.char.zfill((flat % edge).astype("S5"), 5)
    prefix = f"s_{size:03d}um_".encode()
    return np.char.add(np.char.add(np.char.add(np.char.add(prefix, rows), b"_"), cols), b"-1")


def _write_bins(path, edge, size, mean, n_genes, rng):
    """The matrix, written a million bins at a time."""
    popular = np.cumsum(rng.gamma(0.3, 1.0, n_genes))
    popular /= popular[-1]
    packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    growing = {"maxshape": (None,), "chunks": (1 << 17,), **packed}
    with h5py.File(path, "w") as handle:
        handle.attrs["software_version"] = "spaceranger-3.1.0"
        handle.attrs["chemistry_description"] = "Visium HD v1"
        group = handle.create_group("matrix")
        data = group.create_dataset("data", (0,), np.int32, **growing)
        indices = group.create_dataset("indices", (0,), np.int64, **growing)
        bounds = [np.zeros(1, np.int64)]
        for start in range(0, edge * edge, 1 << 20):
            stop = min(start + (1 << 20), edge * edge)
            lengths = rng.poisson(mean, stop - start)
            row = np.repeat(np.arange(stop - start), lengths)
            gene = np.searchsorted(popular, rng.random(len(row))).clip(max=n_genes - 1)
            # Half of a layer's counts are of genes of its own.
            layer = (start + row) * LAYERS // (edge * edge)
            gene = np.where(rng.random(len(row)) < 0.5, (gene + layer * n_genes // LAYERS) % n_genes, gene)
            part = sp.csr_matrix((np.ones(len(row), np.int32), (row, gene)), shape=(stop - start, n_genes))
            before = data.shape[0]
            for dataset, values in ((data, part.data), (indices, part.indices)):
                dataset.resize((before + part.nnz,))
                dataset[before:] = values
            bounds.append(before + part.indptr[1:].astype(np.int64))
        group.create_dataset("indptr", data=np.concatenate(bounds), **packed)
        group.create_dataset("shape", data=np.array([n_genes, edge * edge], dtype=np.int32))
        group.create_dataset("barcodes", data=bin_names(edge, size, 0, edge * edge), **packed)
        write_features(group, feature_table(genes(n_genes)))


def _write_places(folder, edge, size):
    flat = np.arange(edge * edge)
    row, col = flat // edge, flat % edge
    px = 4.0 * size / 2
    table = pd.DataFrame({"barcode": bin_names(edge, size, 0, edge * edge).astype(str), "in_tissue": 1})
    table["array_row"], table["array_col"] = row, col
    table["pxl_row_in_fullres"], table["pxl_col_in_fullres"] = (row + 0.5) * px, (col + 0.5) * px
    table.to_parquet(folder / "tissue_positions.parquet", index=False)
    factors = {
        "spot_diameter_fullres": px,
        "bin_size_um": float(size),
        "microns_per_pixel": 0.5,
        "regist_target_img_scalef": 1.0,
        "tissue_hires_scalef": 64 / (edge * px),
        "tissue_lowres_scalef": 64 / (edge * px),
        "fiducial_diameter_fullres": 100.0,
    }
    (folder / "scalefactors_json.json").write_text(json.dumps(factors))
    picture = np.random.default_rng(0).integers(120, 240, (64, 64, 3), dtype=np.uint8)
    for name in ("hires", "lowres"):
        Image.fromarray(picture).save(folder / f"tissue_{name}_image.png")
