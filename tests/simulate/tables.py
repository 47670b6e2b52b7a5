"""Tables of a simulated tissue, read by public readers."""

import pandas as pd
import scanpy as sc

BINS = {2: "square_002um", 8: "square_008um", 16: "square_016um"}


def read_tsv(path):
    return pd.read_csv(path, sep="\t", index_col="barcode")


def positions(tissue):
    return pd.read_csv(tissue / "visium/outs/spatial/tissue_positions.csv", index_col="barcode")


def read_bins(tissue, size, name="filtered"):
    folder = tissue / "visium_hd/outs/binned_outputs" / BINS[size]
    adata = sc.read_10x_h5(folder / f"{name}_feature_bc_matrix.h5")
    adata.obs = (
        pd.read_parquet(folder / "spatial/tissue_positions.parquet").set_index("barcode").loc[adata.obs_names]
    )
    return adata
