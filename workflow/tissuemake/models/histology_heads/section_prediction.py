"""What a head says of a section: genes of every observation, named as the sample names them, and how well they fit."""

from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.evaluation.metrics import partial_pearson, pearson
from tissuemake.gene_matching import match_vocabulary
from tissuemake.models.histology_heads.cohort_genes import Slide
from tissuemake.models.histology_heads.ridge import Head
from tissuemake.models.spot_vectors import SpotVectors

# Predictions are dense: of 50,000 spots all 2,000 genes are written, of 500,000 bins 200.
MOST_VALUES = 100_000_000
# Scores need about ten arrays in double precision of so many values.
VALUES_AT_ONCE = 10_000_000


def predict_section(slide: Slide, head: Head, vocabulary: pd.DataFrame, *, scored: bool) -> ad.AnnData:
    """Return log1p of CP10k (observations, genes), NaN without a tile, with scores if the head may be `scored`.

    Bins and cells share tiles: the head is asked once of every tile, whose neighbours are tiles as those of a spot
    are spots, and all that lie on it get its answer.

    Parameters
    ----------
    vocabulary
        Names and ``gene_id`` of the head's genes, the most variable first.
    """
    spots, image = slide.spots, slide.image
    most = int(np.clip(MOST_VALUES // max(spots.n_obs, 1), 1, len(vocabulary)))
    vocabulary = vocabulary.iloc[:most]
    head = replace(head, weights=head.weights[:, :most], level=head.level[:most])
    values = np.full((spots.n_obs, most), np.nan, dtype=np.float32)
    tiles, positions, tile = _tiles_asked(image)
    values[image.seen] = head.predict(tiles, positions).astype(np.float32)[tile]
    match = match_vocabulary(
        spots.var, vocabulary, sample_name=image.sample, model_name="the head", lowest_rate=0.0
    )
    var = _names(vocabulary, spots.var_names, match)
    scores = np.full((2, most), np.nan)
    if scored and image.seen.sum() > 2:
        at_once = max(1, VALUES_AT_ONCE // spots.n_obs)
        for start in range(0, len(match.right), at_once):
            genes, columns = (side[start : start + at_once] for side in (match.left, match.right))
            scores[:, columns] = _scores(slide, genes, values[:, columns][image.seen])
    var["held_out_r"], var["held_out_r_depth_adjusted"] = scores
    return ad.AnnData(values, obs=pd.DataFrame(index=spots.obs_names), var=var)


def _tiles_asked(image: SpotVectors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors of tiles, their places in µm, and which of them each observation that has one lies on."""
    seen = image.row[image.seen]
    rows, tile = np.unique(seen, return_inverse=True)
    if len(rows) == len(seen):
        return image.vectors(image.seen), image.positions[image.seen], np.arange(len(seen))
    places = image.tiles.obs[["x", "y"]].to_numpy(float)[rows] * image.microns_per_pixel
    return np.asarray(image.tiles.X[rows], np.float64), places, tile


def _names(vocabulary: pd.DataFrame, sample: pd.Index, match) -> pd.DataFrame:
    names = vocabulary.index.to_numpy(object).copy()
    names[match.right] = sample[match.left]
    measured_here = np.isin(np.arange(len(names)), match.right)
    # A gene of the head that the sample does not have may bear the symbol of another gene of the sample.
    twice = pd.Index(names).isin(sample) & ~measured_here
    names = [f"{name} (head)" if clash else name for name, clash in zip(names, twice, strict=True)]
    return pd.DataFrame(
        {"gene_id": vocabulary["gene_id"].to_numpy(), "measured": measured_here},
        index=pd.Index(names, dtype=str),
    )


def _scores(slide: Slide, genes: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Correlations (2, genes) as `imputation` has them: plain, and without the library size on both sides."""
    seen = slide.image.seen
    truth = slide.values(genes, seen)
    own = slide.spots.layers["counts"][:, genes].toarray()[seen]
    depth = np.log1p(np.maximum(slide.total_counts[seen][:, None] - own, 0))
    return np.stack([pearson(predicted, truth), partial_pearson(predicted, truth, depth)])
