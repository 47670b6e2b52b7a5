"""Real data sets into a run folder: sheets, and the few tables that must be rewritten to join by barcode.

Counts are never touched. What is rewritten, and why:

* STARmap section 1 is a bare text matrix: it becomes an h5ad; its composition gets the references' names.
* her2st labels stand on rounded array coordinates: they become a table by barcode. The picture of A1 is
  scaled to 2000 px, so its spot file is scaled with it.
* The atlases get a label column at the level of detail at which a truth exists.
"""

import shutil
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

HERE = Path(__file__).parent
A1_SCALE = 2000 / 6954
# Bins of STARmap section 1 are 750 px, about 51.5 µm, wide (Li et al. 2022).
STARMAP_BIN_PX = 750

STARMAP_TO_SECTION2 = {
    "ExcitatoryL2and3": "eL2_3",
    "ExcitatoryL4": "eL4",
    "ExcitatoryL5": "eL5",
    "ExcitatoryL6": "eL6",
    "Olig": "Oligo",
    "Pvalb": "PVALB",
    "Sst": "SST",
    "Vip": "VIP",
    "Npy": "Reln",
}
# Layer and class stand at the beginning of each name of the motor cortex atlas.
MOTOR_CORTEX_COARSE = {
    "L2/3 IT": "ExcitatoryL2and3",
    "L5": "ExcitatoryL5",
    "L6": "ExcitatoryL6",
    "Astro": "Astro",
    "Oligo": "Olig",
    "OPC": "OPC",
    "Endo": "Endo",
    "Macrophage": "Micro",
    "Pvalb": "Pvalb",
    "Sst": "Sst",
    "Vip": "Vip",
    "Lamp5": "Npy",
}
TNBC_TO_STEREOSCOPE = {
    "Cancer Epithelial": "Epithelial",
    "Normal Epithelial": "Epithelial",
    "Plasmablasts": "Plasma Cells",
}


def prepare(data: Path, run: Path) -> None:
    """Write sheets, config and derived tables for the data sets in `data` into the run folder `run`."""
    derived = run / "derived"
    derived.mkdir(parents=True, exist_ok=True)
    (run / "config").mkdir(exist_ok=True)
    for name in ("config.yaml", "samples.tsv", "references.tsv"):
        shutil.copyfile(HERE / name, run / "config" / name)
    _starmap(data / "deconv_truth" / "starmap_section1" / "spots", derived)
    for section in ("A1", "D1"):
        _her2st_labels(data / "st_her2", section, derived)
    _scaled_spots(data / "st_her2" / "spots" / "A1_selection.tsv", derived / "A1_spots_2000px.tsv")
    _atlases(data / "sc_reference", derived)


def _starmap(spots: Path, derived: Path) -> None:
    counts = pd.read_csv(spots / "combined_spatial_count.txt", sep="\t")
    places = pd.read_csv(spots / "combined_Locations.txt", sep="\t")
    names = [f"spot{i}" for i in range(len(counts))]
    starmap = ad.AnnData(
        sp.csr_matrix(counts.to_numpy(np.float32)),
        obs=pd.DataFrame(index=names),
        var=pd.DataFrame(index=counts.columns.astype(str)),
        obsm={"spatial": (places.to_numpy(float) + 0.5) * STARMAP_BIN_PX},
    )
    starmap.write_h5ad(derived / "starmap_section1.h5ad")
    truth = pd.read_csv(spots / "combined_spot_clusters.txt", sep="\t", index_col=0).set_axis(names)
    truth.to_csv(derived / "starmap_truth_motor_cortex.tsv", sep="\t", index_label="barcode")
    truth = truth.rename(columns=STARMAP_TO_SECTION2)
    truth.to_csv(derived / "starmap_truth_section2.tsv", sep="\t", index_label="barcode")


def _her2st_labels(folder: Path, section: str, derived: Path) -> None:
    labels = pd.read_csv(folder / "labels" / f"{section}_labeled_coordinates.tsv", sep="\t").dropna(
        subset=["x", "y"]
    )
    x, y = labels["x"].round().astype(int), labels["y"].round().astype(int)
    table = pd.DataFrame(
        {"barcode": [f"{i}x{j}" for i, j in zip(x, y, strict=True)], "label": labels["label"]}
    )
    table = table[table["label"] != "undetermined"].drop_duplicates("barcode")
    table.to_csv(derived / f"{section}_labels.tsv", sep="\t", index=False)


def _scaled_spots(source: Path, target: Path) -> None:
    spots = pd.read_csv(source, sep="\t")
    spots[["pixel_x", "pixel_y"]] *= A1_SCALE
    spots.to_csv(target, sep="\t", index=False)


def _atlases(folder: Path, derived: Path) -> None:
    cortex = ad.read_h5ad(folder / "mouse_mop_10x_500genes.h5ad")
    cortex.obs["coarse"] = [
        next(coarse for start, coarse in MOTOR_CORTEX_COARSE.items() if name.startswith(start))
        for name in cortex.obs["cell_type"].astype(str)
    ]
    cortex.write_h5ad(derived / "motor_cortex.h5ad")
    tumour = ad.read_h5ad(folder / "breast_tnbc_cid4465.h5ad")
    major = tumour.obs["celltype_major"].astype(str)
    tumour.obs["major"] = major.replace(TNBC_TO_STEREOSCOPE)
    tumour.write_h5ad(derived / "breast_tnbc.h5ad")
