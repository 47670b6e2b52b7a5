"""Expression between the spots of a simulated tissue, whose molecules are known everywhere.

Truth at a position is what the cells under a circle hold, as the platform catches it, without counting noise: log1p
of CP10k. Scored are positions a quarter of the pitch from a spot's centre, and positions further than 0.4 pitches
from every centre; r is per gene over positions, then averaged over the 200 most variable genes.
"""

from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from scipy.spatial import cKDTree

from benchmarks.histology_encoders import SEEDED, WRITERS, Bench
from benchmarks.histology_rows import LINEAR, NEAREST, SMOOTH, Row
from benchmarks.histology_rows import rows as as_rows
from benchmarks.histology_sections import Prepared
from benchmarks.histology_simulated import GENE_SHIFT, write_section
from tissuemake.contracts import FILTERED, HIGHRES, read_anndata
from tissuemake.evaluation.metrics import pearson
from tissuemake.files import atomic
from tissuemake.models.histology_heads.between_spots import conserve, place, spread
from tissuemake.models.histology_heads.highres import predict_highres
from tissuemake.simulate.expression import platform_efficiency

TEST = "between spots"
ENCODERS = ("color", "untrained", "spafoundation")
SPOTS = 150
PLANS = ("infiltrated", "glandular", "layered")
PITCH_UM, SPOT_UM = 100.0, 55.0
OVERLAP = 0.75
# Circles (µm across) in which the truth is counted: as wide as a spot, and as a step of the map.
APERTURES = {"spot-sized truth": SPOT_UM, "28 um truth": 28.0}


def rows(bench: Bench, seed: int) -> Iterator[Row]:
    """All scores of one simulated tissue."""
    section = tissue(bench.work, seed)
    maps = {encoder: _map(bench, section, encoder, seed) for encoder in ENCODERS}
    first = maps[ENCODERS[0]]
    spots = read_anndata(section.filtered, FILTERED)
    methods = interpolated(spots, first)
    for encoder, fine in maps.items():
        methods[encoder] = fine.X
        methods[f"{encoder}, not conserved"] = fine.layers["unbound"]
    away = cKDTree(_microns(spots, spots)).query(_microns(first, spots))[0] / PITCH_UM
    where = {"1/4 pitch from a spot": np.abs(away - 0.25) <= 0.05, "over 0.4 pitches": away > 0.4}
    for aperture, across in APERTURES.items():
        truth, held = molecules(section, first, spots, across, seed)
        for place_name, here in where.items():
            chosen = here & held
            for method, values in methods.items():
                r = float(np.nanmean(pearson(values[chosen], truth[chosen])))
                yield from as_rows(TEST, f"simulated, {place_name}, {aperture}", method, seed, {"r": r})


def tissue(work: Path, seed: int) -> Prepared:
    """A simulated tissue with overlapping grid tiles, once; plans take turns."""
    name = f"between{seed}"
    folder = work / "sections" / name
    if not folder.is_dir():
        with atomic(folder) as partial:
            partial.mkdir()
            plan = PLANS[seed % len(PLANS)]
            write_section(partial, name, seed=seed, spots=SPOTS, zones=plan, overlap=OVERLAP)
    return Prepared(name, folder / "filtered.h5ad", folder / "tiles.arrow", name)


def all_embedded(bench: Bench, section: Prepared, encoder: str, seed: int) -> Path:
    """Embeddings of all tiles of a section, those between spots too."""
    kept = bench.own if encoder in SEEDED else bench.work
    path = kept / "embeddings" / f"{section.name}-{encoder}-all-tiles-{seed}.h5ad"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[encoder](bench, section, seed, path)
    return path


def _map(bench: Bench, section: Prepared, encoder: str, seed: int) -> ad.AnnData:
    output = bench.own / "highres" / f"{section.name}-{encoder}.h5ad"
    predict_highres(section.filtered, all_embedded(bench, section, encoder, seed), output)
    return read_anndata(output, HIGHRES)


def interpolated(spots: ad.AnnData, fine: ad.AnnData) -> dict[str, np.ndarray]:
    """log1p CP10k (positions, genes) from the spots alone."""
    here, there = _microns(spots, spots), _microns(fine, spots)
    values = spots[:, fine.var_names].X.toarray().astype(np.float64)
    linear = np.expm1(values)
    nearest = NearestNDInterpolator(here, linear)(there)
    between = LinearNDInterpolator(here, linear)(there)
    between = np.where(np.isfinite(between), between, nearest)
    level = values.mean(axis=0)
    smooth = np.maximum(np.expm1(level + spread(values - level, here, there, PITCH_UM)), 1e-6)
    step = float(fine.obs["step_um"].iloc[0])
    smooth = conserve(smooth, linear, place(there, here, SPOT_UM, step))
    return {NEAREST: np.log1p(nearest), LINEAR: np.log1p(between), SMOOTH: np.log1p(smooth)}


def molecules(
    section: Prepared, fine: ad.AnnData, spots: ad.AnnData, across: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """True log1p CP10k (positions, genes) under circles `across` µm wide, and which of them hold a cell."""
    cells = ad.read_h5ad(section.filtered.parent / "cells.h5ad")
    caught = sp.csr_matrix(cells.X.astype(np.float64)) @ sp.diags(
        platform_efficiency(seed, "visium", cells.n_vars, GENE_SHIFT)
    )
    under = cKDTree(_microns(fine, spots)).sparse_distance_matrix(
        cKDTree(cells.obsm["spatial"]), across / 2, output_type="coo_matrix"
    )
    member = sp.csr_matrix((np.ones(under.nnz), (under.row, under.col)), shape=under.shape)
    held = np.asarray(member.sum(axis=1)).ravel() > 0
    found = member @ caught
    total = np.maximum(np.asarray(found.sum(axis=1)), 1e-12)
    columns = pd.Index(cells.var_names).get_indexer(fine.var_names)
    return np.log1p(found[:, columns].toarray() / total * 1e4), held


def _microns(observations: ad.AnnData, spots: ad.AnnData) -> np.ndarray:
    scale = spots.uns["spatial"][str(spots.uns["tissuemake"]["sample"])]["scalefactors"]["microns_per_pixel"]
    return np.asarray(observations.obsm["spatial"], float) * float(scale)
