"""Shell: expression between and inside the spots of a section, from overlapping H&E tiles and the spots themselves."""

from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from tissuemake.contracts import FILTERED, HIGHRES, read_anndata, write_anndata
from tissuemake.errors import InputError
from tissuemake.expression import most_variable
from tissuemake.models.histology_heads.between_spots import conserve, place, spread
from tissuemake.models.spot_vectors import SpotVectors, read_spot_vectors
from tissuemake.provenance import measured

GENES = 200
FEWEST_SPOTS = 20
MOST_COMPONENTS = 256
PENALTIES = np.logspace(0, 6, 13)
# Of a gene's mean: no position is predicted to hold less before the spots have their say.
LEAST_SHARE = 0.02
# Coarser steps than this share of the pitch show nothing that the spots did not.
COARSEST_STEP = 0.5
# Where a lattice does not state how wide its spots are: Visium's share of the pitch.
DIAMETER_SHARE = 0.55


@dataclass(frozen=True)
class Geometry:
    """Distances in µm: between spots, across a spot, between fine positions."""

    pitch: float
    diameter: float
    step: float


def predict_highres(filtered: Path, embeddings: Path, output: Path, *, genes: int = GENES) -> None:
    """Predict the most variable genes on the grid of overlapping tiles, such that spots keep what they measured.

    Ridge regression from the spots' own tiles to log1p(CP10k), the penalty of each gene by leave-one-out; what it
    leaves unexplained is spread as a smooth field (regression kriging with a fixed kernel). On the linear scale the
    positions inside a spot then average to the spot's CP10k (`between_spots.conserve`), which is checked.

    Parameters
    ----------
    filtered, embeddings
        Of one section; grid tiles overlap (config tiles: overlap), by 0.75 a position every 28 µm.
    output
        Contract HIGHRES. obs: position ``gROW_COL``, ``x`` and ``y`` (full-resolution pixels), ``spot`` (barcode
        under which it lies, or ""), ``step_um``. ``X`` log1p(CP10k) float32, and as layer ``unbound`` the same before
        the spots had their say: less noise, no conservation. Positions lie within a pitch of a spot.
    genes
        So many, the most variable ones of the section.

    Raises
    ------
    InputError
        ``nothing_between`` for cells and bins, ``no_grid_tiles``, ``tiles_too_coarse``, ``too_few_spots``.
    """
    with measured("highres") as record:
        section = read_spot_vectors(filtered, embeddings)
        grid = np.flatnonzero((section.tiles.obs["kind"].astype(str) == "grid").to_numpy())
        geometry = _geometry(section, grid)
        expression = read_anndata(filtered, FILTERED)
        chosen = most_variable(expression.X, genes)
        values = np.asarray(expression.X[:, chosen].todense(), np.float64)
        positions = section.tiles.obs[["x", "y"]].to_numpy(float)[grid] * section.microns_per_pixel
        near = cKDTree(section.positions).query(positions)[0] <= geometry.pitch
        grid, positions = grid[near], positions[near]
        lattice = place(positions, section.positions, geometry.diameter, geometry.step)
        unbound = predict_positions(section, values, grid, positions, geometry.pitch)
        bound = conserve(unbound, np.expm1(values), lattice)
        error = conservation_error(bound, np.expm1(values), lattice.member)
        record.update(
            encoder=section.encoder,
            step_um=geometry.step,
            pitch_um=geometry.pitch,
            spots_with_positions=int((np.diff(lattice.member.indptr) > 0).sum()),
            conservation_error=error,
        )
    obs = pd.DataFrame(
        {
            **section.tiles.obs[["x", "y"]].iloc[grid].astype(float),
            "spot": np.append(section.spots.obs_names, "")[lattice.owner],
            "step_um": geometry.step,
        },
        index=section.tiles.obs_names[grid],
    )
    fine = ad.AnnData(
        np.log1p(bound).astype(np.float32), obs=obs, var=expression.var[["gene_id"]].iloc[chosen]
    )
    fine.layers["unbound"] = np.log1p(unbound).astype(np.float32)
    fine.obsm["spatial"] = obs[["x", "y"]].to_numpy()
    fine.uns["tissuemake"] = record
    write_anndata(fine, output, HIGHRES)


def predict_positions(
    section: SpotVectors, values: np.ndarray, tiles: np.ndarray, positions: np.ndarray, pitch: float
) -> np.ndarray:
    """CP10k (positions, genes) that image and neighbouring spots let expect; positive.

    Parameters
    ----------
    values
        (spots, genes) log1p(CP10k) as measured.
    tiles, positions
        Rows of the section's tiles, and where they lie (µm).
    """
    seen = section.seen
    vectors = section.vectors(seen)
    asked = np.asarray(section.tiles.X[tiles], np.float64)
    own, found = _ridge(vectors, values[seen], asked)
    found = found + spread(values[seen] - own, section.positions[seen], positions, pitch)
    least = LEAST_SHARE * np.expm1(values).mean(axis=0) + 1e-6
    return np.maximum(np.expm1(found), least)


def conservation_error(bound: np.ndarray, counted: np.ndarray, member: np.ndarray) -> float:
    """Largest difference between a spot's average and its CP10k, relative to the gene's mean over spots.

    Raises
    ------
    ArithmeticError
        Beyond 1e-5: mass was made or lost, which is an error of ours.
    """
    held = np.diff(member.indptr) > 0
    away = np.abs((member @ bound)[held] - counted[held]) / np.maximum(counted.mean(axis=0), 1e-12)
    error = float(away.max(initial=0.0))
    if error > 1e-5:
        raise ArithmeticError(f"positions inside a spot differ from it by {error:.2g} of the gene's mean")
    return error


def _ridge(vectors: np.ndarray, values: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predictions for the rows of `vectors` themselves and for `asked`."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    components = min(MOST_COMPONENTS, *vectors.shape, max(len(vectors) - 1, 1))
    head = make_pipeline(
        StandardScaler(),
        PCA(components, random_state=0),
        RidgeCV(PENALTIES, alpha_per_target=True),
    ).fit(vectors, values)
    return head.predict(vectors), head.predict(asked)


def _geometry(section: SpotVectors, grid: np.ndarray) -> Geometry:
    facts, sample = section.spots.uns["tissuemake"], section.sample
    if str(facts.get("observation")) != "spot":
        raise InputError(
            "nothing_between",
            f"Sample '{sample}' has {facts.get('observation')}s, not spots: there are no gaps for the image to fill.",
            "Ask for maps between spots of Visium and ST samples only.",
        )
    if int(section.seen.sum()) < FEWEST_SPOTS:
        raise InputError(
            "too_few_spots",
            f"Sample '{sample}' has {int(section.seen.sum())} spots with a tile; a head needs {FEWEST_SPOTS}.",
            "Check that the image lies under the spots, and the thresholds of the filter.",
        )
    if len(grid) < 2:
        raise InputError(
            "no_grid_tiles",
            f"Sample '{sample}' has no tiles on a grid.",
            "Set tiles: grid: true and tiles: overlap: 0.75 in the config.",
        )
    nearest = cKDTree(section.positions).query(section.positions, k=2)[0][:, 1]
    pitch = float(facts.get("pitch_um") or np.median(nearest))
    diameter = float(facts.get("spot_diameter_um") or DIAMETER_SHARE * pitch)
    centres = section.tiles.obs[["x", "y"]].to_numpy(float)[grid] * section.microns_per_pixel
    step = float(np.median(cKDTree(centres).query(centres, k=2)[0][:, 1]))
    if step > COARSEST_STEP * pitch:
        raise InputError(
            "tiles_too_coarse",
            f"Sample '{sample}': grid tiles are {step:.0f} µm apart, spots {pitch:.0f} µm.",
            f"Let tiles overlap by {max(1 - pitch / 4 / section.tile_um, 0):.2f} (config tiles: overlap).",
        )
    return Geometry(pitch, diameter, step)
