"""Tile encoders by name, and the file of one vector per tile that they write."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import anndata as ad
import h5py
import numpy as np
import pandas as pd

from tissuemake.contracts import EMBEDDINGS, check_anndata
from tissuemake.errors import refuse_unknown_method
from tissuemake.files import atomic
from tissuemake.histology.color import FEATURES, color_features
from tissuemake.histology.stains import STANDARD, measure_staining
from tissuemake.histology.tile_store import TileStore
from tissuemake.provenance import measured

ROWS_IN_MEMORY = 128
LOOKED_AT = 64
PLACE = ["kind", "x", "y", "size_um"]


class Encoder(Protocol):
    """What turns tiles into vectors.

    Attributes
    ----------
    features
        Names of the entries of a vector.
    """

    features: tuple[str, ...]

    def look(self, tiles: np.ndarray) -> None:
        """Take in some `tiles` (n, height, width, 3) of a slide before any of it is encoded."""

    def encode(self, tiles: np.ndarray, mpp: float) -> np.ndarray:
        """Return float32 (n, features) of uint8 `tiles` (n, height, width, 3) with `mpp` µm per pixel."""


class ColorEncoder:
    """Stain, texture and nuclear measures (`tissuemake.histology.color`): nothing to train, nothing to load."""

    features = FEATURES

    def __init__(self) -> None:
        self.staining = STANDARD

    def look(self, tiles: np.ndarray) -> None:
        """Measure the slide's staining, to which all features are relative."""
        self.staining = measure_staining(tiles)

    def encode(self, tiles: np.ndarray, mpp: float) -> np.ndarray:
        """See `Encoder`."""
        return np.stack([color_features(tile, mpp, self.staining) for tile in tiles])


ENCODERS: dict[str, type[Encoder]] = {"color": ColorEncoder}


def embed_tiles(tiles: Path, output: Path, *, encoder: str = "color") -> None:
    """Encode every tile of a sample, 128 in memory at a time.

    Parameters
    ----------
    tiles
        ``tiles.parquet``; one without rows gives a file without observations.
    output
        ``.h5ad``: obs by tile, in the order of `tiles`, with ``kind``, ``x``, ``y`` (full-resolution pixels) and
        ``size_um``; var the encoder's features; ``X`` float32.
    encoder
        A name in `ENCODERS`.

    Raises
    ------
    InputError
        ``unknown_method`` for an encoder that does not exist, ``broken_contract`` for a table that is no tiles.
    """
    refuse_unknown_method("encoder", encoder, tuple(ENCODERS))
    with atomic(output) as partial, TileStore(tiles) as store, h5py.File(partial, "w") as file:
        with measured("embed_tiles", encoder=encoder) as provenance:
            model = ENCODERS[encoder]()
            obs = store.table[PLACE]
            var = pd.DataFrame(index=pd.Index(model.features, name="feature"))
            described = ad.AnnData(obs=obs, var=var, uns={"tissuemake": {}})
            check_anndata(described, EMBEDDINGS, output)
            ad.io.write_elem(file, "/", described)
            _write_vectors(file, _vectors(store, model), described.shape)
        ad.io.write_elem(file, "uns/tissuemake", provenance)


def _vectors(store: TileStore, model: Encoder) -> Iterator[np.ndarray]:
    """Vectors of all tiles in order, batch by batch."""
    table = store.table
    if len(table):
        model.look(_some_tiles(store, table["tissue_fraction"].to_numpy()))
    mpp = (table["size_um"] / table["size_px"]).to_numpy()
    for start in range(0, len(table), ROWS_IN_MEMORY):
        rows = np.arange(start, min(start + ROWS_IN_MEMORY, len(table)))
        yield model.encode(store.pixels(rows), float(mpp[start]))


def _some_tiles(store: TileStore, fraction: np.ndarray) -> np.ndarray:
    """At most `LOOKED_AT` tiles with tissue, spread over the slide."""
    order = np.flatnonzero(fraction >= min(0.5, fraction.max()))
    return store.pixels(order[np.linspace(0, len(order) - 1, min(LOOKED_AT, len(order))).astype(int)])


def _write_vectors(file: h5py.File, batches: Iterator[np.ndarray], shape: tuple[int, int]) -> None:
    """Write ``X`` as AnnData stores a dense array, without ever holding all of it."""
    matrix = file.create_dataset("X", shape, "float32")
    matrix.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    start = 0
    for vectors in batches:
        matrix[start : start + len(vectors)] = vectors
        start += len(vectors)
