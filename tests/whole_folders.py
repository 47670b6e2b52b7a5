"""Small whole vendor folders made by hand: a Visium section, a Xenium bundle, an atlas."""

import json
from pathlib import Path

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
