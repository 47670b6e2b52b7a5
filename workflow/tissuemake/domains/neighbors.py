"""Who is next to whom, in µm: the graph that domains and statistics share."""

import anndata as ad
import numpy as np
import scipy.sparse as sp
from scipy.spatial import QhullError, cKDTree

# Delaunay edges across holes and around the rim of a tissue are no contacts.
LONGEST_EDGE = 3.0
LATTICE_NEIGHBORS = {"hexagonal": 6, "square": 4}
# Pairs of neighbours held at once: 2 µm bins have thousands each within 60 µm.
PAIRS_AT_ONCE = 3_000_000


def microns(adata: ad.AnnData) -> np.ndarray:
    """Return the positions of all observations in µm, (n, 2)."""
    scalefactors = adata.uns["spatial"][str(adata.uns["tissuemake"]["sample"])]["scalefactors"]
    return np.asarray(adata.obsm["spatial"], dtype=float) * float(scalefactors["microns_per_pixel"])


def contact_graph(positions: np.ndarray, lattice: str) -> sp.csr_matrix:
    """Return the symmetric 0/1 matrix (n, n) of direct neighbours, without the diagonal.

    Lattices connect the first ring (6 on a hexagonal lattice, 4 on a square one); everything else is
    connected by a Delaunay triangulation without edges over three times the median edge.

    Parameters
    ----------
    positions
        (n, 2) in µm.
    lattice
        ``"hexagonal"``, ``"square"`` or ``"none"``.
    """
    import squidpy as sq

    n = len(positions)
    bare = ad.AnnData(obs={"index": [str(i) for i in range(n)]}, obsm={"spatial": positions})
    ring = LATTICE_NEIGHBORS.get(lattice)
    if n < 8:
        graph = sp.csr_matrix(np.ones((n, n)) - np.eye(n))
    elif ring:
        graph = sq.gr.spatial_neighbors(bare, coord_type="grid", n_neighs=ring, n_rings=1, copy=True)[0]
    else:
        try:
            graph = sq.gr.spatial_neighbors(bare, coord_type="generic", delaunay=True, copy=True)[1]
            graph.eliminate_zeros()
            graph.data[graph.data > LONGEST_EDGE * np.median(graph.data)] = 0
        except QhullError:  # all on one line
            graph = sq.gr.spatial_neighbors(bare, coord_type="generic", n_neighs=2, copy=True)[0]
    graph = sp.csr_matrix(graph, dtype=np.float64)
    graph.setdiag(0)
    graph.eliminate_zeros()
    graph.data[:] = 1.0
    return graph.maximum(graph.T).tocsr()


def neighborhood_mean(values: np.ndarray, positions: np.ndarray, radius_um: float) -> np.ndarray:
    """Return the mean of `values` (n, k) over the others within `radius_um`; one's own where nobody is."""
    tree = cKDTree(positions)
    means = np.array(values, dtype=float)
    some = positions[:: max(1, len(positions) // 1000)]
    usual = tree.query_ball_point(some, radius_um, return_length=True).mean() if len(some) else 1
    rows = max(1, int(PAIRS_AT_ONCE / usual))
    for start in range(0, len(values), rows):
        block = slice(start, start + rows)
        near = cKDTree(positions[block]).query_ball_tree(tree, radius_um)
        counts = np.array([len(found) for found in near])
        columns = np.concatenate([np.asarray(found, dtype=np.int64) for found in near])
        bounds = np.concatenate([[0], counts.cumsum()])
        weights = sp.csr_matrix((np.ones(len(columns)), columns, bounds), shape=(len(counts), len(values)))
        others = np.maximum(counts - 1, 1)[:, None]
        sums = weights @ values - values[block]
        means[block] = np.where(counts[:, None] > 1, sums / others, values[block])
    return means


def neighborhood_radius(positions: np.ndarray, pitch_um: float) -> float:
    """The nearest and second nearest spots of a lattice, and never less than 60 µm, some dozens of cells."""
    spacing = pitch_um
    if not spacing and len(positions) > 1:
        spacing = float(np.median(cKDTree(positions).query(positions, k=2)[0][:, 1]))
    return max(1.8 * spacing, 60.0)
