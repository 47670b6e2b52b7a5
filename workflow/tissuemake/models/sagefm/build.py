"""Which network, rings and neighbourhood an architecture means; apart from training, whose libraries load slowly."""

import anndata as ad
import numpy as np
from torch import Tensor, nn

from tissuemake.models.sagefm.architecture import Architecture
from tissuemake.models.sagefm.clique import NODES, CliqueNetwork
from tissuemake.models.sagefm.graph import Neighborhood, cliques, neighborhood_of
from tissuemake.models.sagefm.network import RingNetwork
from tissuemake.models.sagefm.reading import Loadings


def build_network(
    shape: Architecture, loadings: Loadings, mean: Tensor, sd: Tensor, readout: Tensor | None = None
) -> nn.Module:
    """Return the network of `shape` with weights as torch's generator draws them."""
    return CliqueNetwork(mean, sd) if shape.graph == "clique" else RingNetwork(shape, loadings, readout)


def rings_of(shape: Architecture) -> int:
    """How many rings have a mean of their own: a clique is one."""
    return 1 if shape.graph == "clique" else shape.rings


def neighborhood(adata: ad.AnnData, shape: Architecture) -> Neighborhood:
    """Who lies around whom, as the network of `shape` wants it."""
    if shape.graph == "clique":
        return cliques(np.asarray(adata.obsm["spatial"], dtype=float), k=NODES)
    return neighborhood_of(adata, rings=shape.rings)
