"""CellCharter's vectors of a section, as a process: `python cellcharter_vectors.py FILTERED.h5ad OUTPUT.npy SEED`.

Varrone et al., Nature Genetics 2024: components of a spot beside their means over each of three rings of neighbours.
"""

import sys

import anndata as ad
import numpy as np

GENES, COMPONENTS, LAYERS = 2000, 50, 3


def main(filtered: str, output: str, seed: str) -> None:
    """Write float32 (spots, 200), with the authors' defaults for Visium."""
    import cellcharter
    import scanpy
    import squidpy

    spots = ad.read_h5ad(filtered)
    scanpy.pp.highly_variable_genes(spots, n_top_genes=GENES)
    scanpy.pp.pca(spots, n_comps=COMPONENTS, random_state=int(seed))
    squidpy.gr.spatial_neighbors(spots, coord_type="grid", n_neighs=6)
    cellcharter.gr.aggregate_neighbors(spots, n_layers=LAYERS, use_rep="X_pca")
    np.save(output, np.asarray(spots.obsm["X_cellcharter"], dtype=np.float32))


if __name__ == "__main__":
    main(*sys.argv[1:4])
