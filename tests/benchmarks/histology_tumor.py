"""Tumour in A1 beside the pathologist: within the section by blocks, and from simulated tissue alone.

Blocks: five compact ones (k-means of positions, another partition for every seed), each asked of a head that saw
neither it nor anything within 250 µm; ranks are over all blocks together, and within each block that holds both.
Zero-shot: the head has seen three simulated sections only, whose zone ``tumour`` is tumour, at the µm per pixel of
A1's picture.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.histology_encoders import Bench, embedded
from benchmarks.histology_rows import Row
from benchmarks.histology_rows import rows as as_rows
from benchmarks.histology_sections import Prepared
from benchmarks.histology_simulated import write_section
from benchmarks.problems import derive
from tissuemake.contracts import FILTERED, TUMOR, read_anndata, read_table
from tissuemake.evaluation.metrics import presence_precision, presence_rank
from tissuemake.evaluation.splits import near_block, spatial_blocks
from tissuemake.evaluation.tables import read_labels
from tissuemake.files import atomic
from tissuemake.models.held_out import FOLDS, LEAST_BUFFER_UM
from tissuemake.models.histology_heads.tumor import detect_tumor, fit_tumor

TEST = "tumour"
BLOCKS = "her2st A1, spatial blocks"
ZERO_SHOT = "simulated -> her2st A1"
ENCODERS = ("color", "untrained", "spafoundation", "color+spafoundation")
# Baselines that no label of A1 went into.
UNTAUGHT = ("section mean", "library size")
RANKS = ("AUROC", "AUPRC")
TUMOUR = ("invasive cancer", "cancer in situ")
SIMULATED_TUMOUR = ("tumour",)
SIMULATED_SPOTS = 200
SECTIONS = 3
# The picture of A1 is this coarse; a head taught on finer ones reads other nuclei and textures.
A1_MPP = 3.2


def rows(bench: Bench, seed: int) -> Iterator[Row]:
    """All scores of one seed: the partition into blocks, the network's weights, the simulated sections."""
    section = bench.section("A1")
    labels = derive(bench.data, bench.work) / "A1_labels.tsv"
    spots = read_anndata(section.filtered, FILTERED)
    known = read_labels(str(labels), spots)
    truth = known.isin(TUMOUR)
    positions = _microns(spots)
    blocks = pd.Series(spatial_blocks(positions, FOLDS, seed), index=spots.obs_names)
    for encoder in ENCODERS:
        found = _by_blocks(bench, section, encoder, str(labels), seed)
        yield from as_rows(TEST, BLOCKS, encoder, seed, scores(found, truth, blocks))
    baselines = _baselines(spots, positions, truth, blocks)
    for name, found in baselines.items():
        yield from as_rows(TEST, BLOCKS, name, seed, scores(found, truth, blocks))
    for name in UNTAUGHT:
        found_scores = scores(baselines[name], truth, blocks)
        yield from as_rows(TEST, ZERO_SHOT, name, seed, {rank: found_scores[rank] for rank in RANKS})
    for encoder in ENCODERS:
        found = _zero_shot(bench, section, encoder, seed)
        found_scores = scores(found, truth, blocks)
        yield from as_rows(TEST, ZERO_SHOT, encoder, seed, {rank: found_scores[rank] for rank in RANKS})


def scores(found: pd.Series, truth: pd.Series, blocks: pd.Series) -> dict[str, float]:
    """AUROC and AUPRC over all labelled spots with a tile, and the mean AUROC within blocks that hold both classes."""
    asked = truth.index[found.reindex(truth.index).notna()]
    said, known, block = (part.loc[asked].to_numpy() for part in (found, truth, blocks))
    within = [presence_rank(said[block == one], known[block == one]) for one in np.unique(block)]
    return {
        "AUROC": presence_rank(said, known),
        "AUPRC": presence_precision(said, known),
        "AUROC within blocks": float(np.nanmean(within)),
    }


def _by_blocks(bench: Bench, section: Prepared, encoder: str, labels: str, seed: int) -> pd.Series:
    """What a user gets of a lone labelled section: every spot from a head that saw nothing near it."""
    folder = bench.own / "tumour" / f"{encoder}-{seed}"
    embeddings = embedded(bench, encoder, "A1", seed)
    fit_tumor([(section.filtered, embeddings, labels)], folder, tumor_labels=TUMOUR, seed=seed)
    table = _detected(section.filtered, embeddings, folder)
    if table["seen"].any():
        raise RuntimeError("a head was asked about spots that it saw")
    return table["probability"]


def _detected(filtered: Path, embeddings: Path, model: Path) -> pd.DataFrame:
    detect_tumor(filtered, embeddings, model, model / "asked.parquet")
    return read_table(model / "asked.parquet", TUMOR)


def _baselines(spots, positions: np.ndarray, truth: pd.Series, blocks: pd.Series) -> dict[str, pd.Series]:
    """One number for all; depth; and, knowing the section, the labels of the nearest spots outside block and buffer."""
    same = pd.Series(0.5, index=spots.obs_names)
    depth = pd.Series(np.log(spots.obs["total_counts"].to_numpy(float)), index=spots.obs_names)
    named = spots.obs_names.get_indexer(truth.index)
    nearest = pd.Series(np.nan, index=spots.obs_names)
    for fold in range(FOLDS):
        inside = (blocks == fold).to_numpy()
        away = named[~near_block(positions, inside, LEAST_BUFFER_UM)[named]]
        gap = np.linalg.norm(positions[inside][:, None] - positions[away], axis=2)
        closest = np.argsort(gap, axis=1)[:, :5]
        labels = truth.loc[spots.obs_names[away]].to_numpy(float)
        nearest.iloc[np.flatnonzero(inside)] = labels[closest].mean(axis=1)
    return {"section mean": same, "library size": depth, "neighbour mean": nearest}


def _zero_shot(bench: Bench, section: Prepared, encoder: str, seed: int) -> pd.Series:
    """A1 by a head that has seen three simulated sections of as many donors, seen as coarsely as A1."""
    taught = [_simulated(bench, SECTIONS * seed + number) for number in range(SECTIONS)]
    folder = bench.own / "tumour" / f"simulated-{encoder}-{seed}"
    cohort = [(part.filtered, _embed(bench, part, encoder, seed), _zones(part)) for part in taught]
    fit_tumor(cohort, folder, tumor_labels=SIMULATED_TUMOUR, ignored_labels=["invasive margin"], seed=seed)
    return _detected(section.filtered, embedded(bench, encoder, "A1", seed), folder)["probability"]


def _simulated(bench: Bench, seed: int) -> Prepared:
    """A Visium section with tumour nests, once."""
    name = f"tumour{seed}"
    folder = bench.work / "sections" / name
    if not folder.is_dir():
        with atomic(folder) as partial:
            partial.mkdir()
            write_section(
                partial,
                name,
                seed=seed,
                spots=SIMULATED_SPOTS,
                zones="infiltrated",
                mpp=A1_MPP,
                grid=False,
            )
    return Prepared(name, folder / "filtered.h5ad", folder / "tiles.arrow", name)


def _zones(section: Prepared) -> str:
    return str(section.filtered.parent / "zones.tsv")


def _embed(bench: Bench, section: Prepared, encoder: str, seed: int) -> Path:
    bench._sections[section.name] = section
    return embedded(bench, encoder, section.name, seed)


def _microns(spots) -> np.ndarray:
    scale = spots.uns["spatial"][str(spots.uns["tissuemake"]["sample"])]["scalefactors"]["microns_per_pixel"]
    return np.asarray(spots.obsm["spatial"], float) * float(scale)
