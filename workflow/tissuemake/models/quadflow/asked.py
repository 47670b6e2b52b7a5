"""A slide that is asked: its patches and the rows of the answer, with its sample's file or from the image alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.contracts import EMBEDDINGS, FILTERED, read_anndata
from tissuemake.errors import InputError
from tissuemake.models.quadflow.section import Patches, expression_on, patches_of
from tissuemake.models.spot_vectors import read_spot_vectors

# Share of a model's genes that a sample must have measured for its components to mean the same.
FEWEST_SHARED = 0.3


@dataclass(frozen=True)
class Asked:
    """What is asked.

    Attributes
    ----------
    tiles
        Contract EMBEDDINGS.
    slide
        Patches that the model sees.
    rows
        Names of the answer's rows: barcodes of the sample, or of the spots or grid tiles of the image.
    patch
        By row, the patch it lies on; -1 without.
    places
        float64 (rows, 2), full-resolution pixels.
    donors
        Of the tissue, and of those by whose expression the encoder was taught; empty where nobody says.
    """

    tiles: ad.AnnData
    slide: Patches
    rows: pd.Index
    patch: np.ndarray
    places: np.ndarray
    donors: frozenset[str]

    def per_row(self, values: np.ndarray) -> np.ndarray:
        """Values (patches, k) by row, NaN without a patch."""
        found = np.full((len(self.rows), values.shape[1]), np.nan, np.float32)
        found[self.patch >= 0] = values[self.patch[self.patch >= 0]]
        return found


def read_asked(
    embeddings: Path, filtered: Path | None = None, microns_per_pixel: float | None = None
) -> Asked:
    """Read a slide.

    Parameters
    ----------
    filtered
        The sample, if transcripts were measured: the answer then has a row per barcode. Without, one per spot tile of
        the image or, where there are none, per grid tile.
    microns_per_pixel
        Of the full-resolution image; needed only without `filtered`, and there read off the grid if not given.

    Raises
    ------
    InputError
        ``no_images``, ``missing_scale``.
    """
    asked = _of_image(embeddings, microns_per_pixel) if filtered is None else _of_sample(filtered, embeddings)
    if not len(asked.slide):
        raise InputError(
            "no_images",
            f"{embeddings} holds no tile to read pathways from.",
            "Give the slide of this sample (samples.tsv, column image), or leave quadflow out for it.",
        )
    return asked


def with_expression(asked: Asked, filtered: Path | None, genes: Sequence[str]) -> Asked:
    """The same with the expression of `genes`, for a model that reads it.

    Raises
    ------
    InputError
        ``expression_needed`` without a sample, ``no_shared_genes``.
    """
    if filtered is None:
        raise InputError(
            "expression_needed",
            "This model reads the expression of a spot besides its image, and there is none.",
            "Give the filtered.h5ad of the sample, or a model that was taught on images alone.",
        )
    adata = read_anndata(filtered, FILTERED)
    known = int(adata.var_names.isin(genes).sum())
    if known < FEWEST_SHARED * len(genes):
        raise InputError(
            "no_shared_genes",
            f"{filtered} measured {known} of the {len(genes)} genes that the model reads ({genes[0]}, …).",
            "Give a model of this organism and panel, or one that was taught on images alone.",
        )
    return replace(asked, slide=replace(asked.slide, values=expression_on(adata, asked.patch, genes)))


def _taught_encoder(tiles: ad.AnnData) -> set[str]:
    return set(dict(tiles.uns["tissuemake"].get("fine_tuned_on", {})).values())


def _of_sample(filtered: Path, embeddings: Path) -> Asked:
    image = read_spot_vectors(filtered, embeddings)
    donors = frozenset({image.donor, *_taught_encoder(image.tiles)})
    places = np.asarray(image.spots.obsm["spatial"], float)
    slide, patch = patches_of(image)
    return Asked(image.tiles, slide, image.spots.obs_names, patch, places, donors)


def _of_image(embeddings: Path, microns_per_pixel: float | None) -> Asked:
    tiles = read_anndata(embeddings, EMBEDDINGS)
    kind = tiles.obs["kind"].astype(str).to_numpy()
    rows = np.flatnonzero(kind == ("spot" if (kind == "spot").any() else "grid"))
    places = tiles.obs[["x", "y"]].to_numpy(float)
    scale = microns_per_pixel or _scale_of_grid(tiles, embeddings)
    slide = Patches(np.asarray(tiles.X, np.float32), places * scale, rows)
    donors = frozenset(_taught_encoder(tiles))
    return Asked(tiles, slide, tiles.obs_names[rows], np.arange(len(rows)), places[rows], donors)


def _scale_of_grid(tiles: ad.AnnData, embeddings: Path) -> float:
    """µm per pixel from two neighbouring grid tiles, which lie a tile's edge apart."""
    grid = tiles.obs[tiles.obs["kind"].astype(str) == "grid"]
    steps = np.array([])
    if len(grid) > 1:
        place = pd.Series(grid.index).str.extract(r"^g(\d+)_(\d+)$").astype(float).to_numpy()
        x = grid["x"].to_numpy(float)
        order = np.lexsort((place[:, 1], place[:, 0]))
        beside = (np.diff(place[order], axis=0) == [0, 1]).all(axis=1)
        steps = np.diff(x[order])[beside]
    if not len(steps):
        raise InputError(
            "missing_scale",
            f"{embeddings} does not say how many µm a pixel has: it holds no two grid tiles side by side.",
            "Give the µm per pixel of the slide, or the filtered.h5ad of the sample.",
        )
    return float(grid["size_um"].iloc[0]) / float(np.median(steps))
