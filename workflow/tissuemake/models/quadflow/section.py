"""A slide as the model sees it: all its tiles with features and places in µm, and what was measured on some of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp
import torch

from tissuemake.contracts import FILTERED, PATHWAYS, read_anndata, read_table
from tissuemake.errors import InputError
from tissuemake.models.quadflow.architecture import Architecture
from tissuemake.models.quadflow.neighbors import around, context
from tissuemake.models.quadflow.network import View
from tissuemake.models.spot_vectors import SpotVectors

# A feature that hardly moves in a slide says nothing there, and standardised would say it loudly.
LEAST_SPREAD = 1e-3
LARGEST_Z = 6.0


@dataclass(frozen=True)
class Patches:
    """Image features of a slide's tiles; all that a prediction takes.

    Attributes
    ----------
    features
        float32 (tiles, f), as the encoder wrote them.
    positions_um
        float64 (tiles, 2).
    rows
        int64 (n,), the tiles that are patches of the model. Tiles between spots count in the means of what lies around.
    values
        (n, G), log1p CP10k of the model's genes where the model reads expression too.
    """

    features: np.ndarray
    positions_um: np.ndarray
    rows: np.ndarray
    values: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Measured:
    """What was measured on the patches of a slide; the mean where several bins or cells lie on one.

    Attributes
    ----------
    scores
        float64 (n, P).
    depth
        float64 (n,), log library size.
    values
        float32 (n, G), log1p CP10k of a vocabulary.
    """

    scores: np.ndarray
    depth: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Reader:
    """Brings encoder features of a slide to what network and ridge read.

    Features are standardised within the slide, so that staining and scanner fall out; of large encoders the principal
    components of the cohort are kept. With the flow among patches come means of what lies around, near and far.

    Attributes
    ----------
    directions
        float32 (f, components), or None to keep all features.
    neighbors
        Patches around a patch.
    radii_um
        Of the means; none without the flow among patches.
    loadings
        float32 (G, k), of expression about its mean in the slide; None to read the image alone.
    """

    directions: np.ndarray | None
    neighbors: int
    radii_um: tuple[float, ...]
    loadings: np.ndarray | None = None

    @classmethod
    def of(cls, slides: Sequence[Patches], components: int, shape: Architecture) -> "Reader":
        """Fit the principal components of all slides."""
        directions = loadings = None
        if slides[0].features.shape[1] > components:
            stacked = np.concatenate([standardised(slide.features) for slide in slides])
            directions = _principal(stacked, components)
        if shape.expression:
            centred = np.concatenate([slide.values - slide.values.mean(axis=0) for slide in slides])
            sd = np.maximum(centred.std(axis=0), 1e-3)[:, None]
            loadings = (_principal(centred / sd.T, shape.expression) / sd).astype(np.float32)
        return cls.for_shape(directions, loadings, shape)

    @classmethod
    def for_shape(
        cls, directions: np.ndarray | None, loadings: np.ndarray | None, shape: Architecture
    ) -> "Reader":
        """As the flows of `shape` allow."""
        radii = shape.radii_um if shape.flows.patches_to_patches else ()
        return cls(directions, shape.neighbors, radii, loadings)

    def view(self, slide: Patches, *, graph: bool = False) -> View:
        """Inputs of a slide's patches; with their `graph` where nothing but a penalty on roughness asks for it."""
        tiles = standardised(slide.features)
        tiles = tiles if self.directions is None else tiles @ self.directions
        places = slide.positions_um[slide.rows]
        means = [context(tiles, slide.positions_um, places, radius) for radius in self.radii_um]
        parts = [tiles[slide.rows], *(standardised(mean) for mean in means)]
        if self.loadings is not None:
            parts.append((slide.values - slide.values.mean(axis=0)) @ self.loadings)
        near = around(places, self.neighbors) if self.radii_um or graph else None
        return View(
            torch.from_numpy(np.hstack(parts).astype(np.float32)),
            torch.from_numpy((places - (places.min(axis=0) + places.max(axis=0)) / 2).astype(np.float32)),
            near,
        )


def _principal(values: np.ndarray, components: int) -> np.ndarray:
    """Directions float32 (f, components), along which `values` (n, f) have a mean square of 1 on average."""
    size, vectors = np.linalg.eigh(values.T @ values / len(values))
    chosen = np.argsort(-size)[:components]
    return (vectors[:, chosen] / np.sqrt(size[chosen].mean() + 1e-12)).astype(np.float32)


def standardised(features: np.ndarray) -> np.ndarray:
    """Relative to all patches of the slide; 0 for what does not move."""
    features = np.asarray(features, dtype=np.float64)
    spread = features.std(axis=0)
    moves = spread > LEAST_SPREAD * np.abs(features).max(axis=0) + 1e-12
    z = (features - features.mean(axis=0)) / np.where(moves, spread, 1)
    return np.clip(np.where(moves, z, 0), -LARGEST_Z, LARGEST_Z)


def patches_of(image: SpotVectors) -> tuple[Patches, np.ndarray]:
    """Return the patches that observations lie on, and which of them (observations,), -1 without a tile.

    A spot has a tile of its own; bins and cells share the tile that they lie on, and its answer.
    """
    places = image.tiles.obs[["x", "y"]].to_numpy(float) * image.microns_per_pixel
    rows, patch = np.unique(image.row[image.seen], return_inverse=True)
    of = np.full(len(image.row), -1)
    of[image.seen] = patch
    return Patches(np.asarray(image.tiles.X, np.float32), places, rows), of


def measured_on(
    filtered: Path, scores: Path, patch: np.ndarray, sets: Sequence[str], genes: Sequence[str]
) -> Measured:
    """Read what was measured on patches: scores of `sets`, depth, and log values of `genes`, which are all there.

    Raises
    ------
    InputError
        ``other_spots`` when the scores are those of other observations.
    """
    adata = read_anndata(filtered, FILTERED)
    table = read_table(scores, PATHWAYS)
    if not adata.obs_names.isin(table.index).all():
        missing = adata.obs_names[~adata.obs_names.isin(table.index)]
        raise InputError(
            "other_spots",
            f"{scores} lacks {len(missing)} of the {adata.n_obs} observations of {filtered} ({missing[0]}, …).",
            "Score the pathways of this sample again.",
        )
    mean = _mean_per_patch(patch)
    wanted = table.reindex(index=adata.obs_names, columns=list(sets)).to_numpy(np.float64)
    total = np.maximum(adata.obs["total_counts"].to_numpy(np.float64), 1)
    return Measured(mean @ np.nan_to_num(wanted), np.log(mean @ total), expression_on(adata, patch, genes))


def expression_on(adata: ad.AnnData, patch: np.ndarray, genes: Sequence[str]) -> np.ndarray:
    """Mean log1p CP10k of `genes` on each patch, float32 (n, G); 0 for genes that the sample did not measure."""
    column = adata.var_names.get_indexer(list(genes))
    values = (_mean_per_patch(patch) @ sp.csr_matrix(adata.X)[:, np.maximum(column, 0)]).toarray()
    return np.where(column >= 0, values, 0).astype(np.float32)


def _mean_per_patch(patch: np.ndarray) -> sp.csr_matrix:
    """(patches, observations) with which a product is the mean over what lies on a patch."""
    there = np.flatnonzero(patch >= 0)
    count = np.bincount(patch[there])
    shape = (len(count), len(patch))
    return sp.csr_matrix((1 / count[patch[there]], (patch[there], there)), shape=shape)


def columns_of(scores: Path) -> list[str]:
    """Names of the gene sets that a table of scores has."""
    return read_table(scores, PATHWAYS).columns.astype(str).tolist()
