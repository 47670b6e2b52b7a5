"""Shell: the embedding of the tile that each spot, bin or cell lies in, read from a sample's embeddings."""

from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.contracts import EMBEDDINGS, read_anndata
from tissuemake.histology.tiles import grid_cells


@dataclass(frozen=True)
class TileImages:
    """Images of a sample's observations.

    Parameters
    ----------
    vectors
        (observations, features) float32; 0 where there is no tile.
    seen
        (observations,) bool, whether there is one.
    encoder, features
        Who made them, and the names of their entries.
    """

    vectors: np.ndarray
    seen: np.ndarray
    encoder: str
    features: tuple[str, ...]


def read_tile_images(embeddings: Path, sample: ad.AnnData) -> TileImages:
    """Find the tile of every observation of `sample`: its own, or the grid tile that it lies in.

    Parameters
    ----------
    embeddings
        Written by `histology.encoders.embed_tiles`; one without tiles leaves every observation unseen.
    sample
        With ``obsm["spatial"]`` and its µm per pixel; without, only tiles of its barcodes are found.
    """
    tiles = read_anndata(embeddings, EMBEDDINGS)
    rows = _rows(tiles.obs, "spot", sample.obs_names)
    microns_per_pixel = _microns_per_pixel(sample)
    if (rows < 0).any() and (tiles.obs["kind"] == "grid").any() and microns_per_pixel:
        edge = float(tiles.obs["size_um"].iloc[0]) / microns_per_pixel
        lies_in = _rows(tiles.obs, "grid", grid_cells(sample.obsm["spatial"], edge))
        rows = np.where(rows < 0, lies_in, rows)
    vectors = np.zeros((sample.n_obs, tiles.n_vars), np.float32)
    vectors[rows >= 0] = np.asarray(tiles.X)[rows[rows >= 0]]
    encoder = str(tiles.uns["tissuemake"]["encoder"])
    return TileImages(vectors, rows >= 0, encoder, tuple(tiles.var_names))


def _rows(tiles: pd.DataFrame, kind: str, names: np.ndarray | pd.Index) -> np.ndarray:
    """Row of the tile of this kind and name, -1 where there is none."""
    chosen = np.flatnonzero(tiles["kind"] == kind)
    found = tiles.index[chosen].get_indexer(names)
    return np.where(found < 0, -1, np.append(chosen, -1)[found])


def _microns_per_pixel(sample: ad.AnnData) -> float:
    """µm per full-resolution pixel; 0 for a file of somebody else that does not say."""
    name = str(sample.uns.get("tissuemake", {}).get("sample", ""))
    scalefactors = sample.uns.get("spatial", {}).get(name, {}).get("scalefactors", {})
    return float(scalefactors.get("microns_per_pixel", 0.0))
