"""The sections of a cohort with one set of pathways, genes and image features, read from the workflow's files."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tissuemake.contracts import FILTERED, read_anndata
from tissuemake.errors import InputError
from tissuemake.expression import column_variance
from tissuemake.models.quadflow.section import Measured, Patches, columns_of, measured_on, patches_of
from tissuemake.models.spot_vectors import SpotVectors, read_spot_vectors, refuse_other_encoder
from tissuemake.pathways.gene_sets import matched_sets, read_gene_sets

log = logging.getLogger(__name__)

FEWEST_PATCHES = 50
FEWEST_GENES = 20
SEEN_IN = 0.02


@dataclass(frozen=True)
class Cohort:
    """Sections that taught or will.

    Attributes
    ----------
    images
        As the encoder saw them.
    slides, measured
        By section.
    pathways
        Names of the gene sets, (P,).
    members
        Genes of each set, in the names of `genes`.
    genes
        Index: symbols of the gene layer's vocabulary; ``gene_id``.
    """

    images: list[SpotVectors]
    slides: list[Patches]
    measured: list[Measured]
    pathways: list[str]
    members: dict[str, list[str]]
    genes: pd.DataFrame

    @property
    def donors(self) -> list[str]:
        """Whose tissue it is, by section."""
        return [image.donor for image in self.images]


def read_cohort(
    filtered: Sequence[Path],
    embeddings: Sequence[Path],
    scores: Sequence[Path],
    gene_sets: Path,
    *,
    genes: int,
    orthologs: str | Path | None = None,
) -> Cohort:
    """Read sections; those with too few patches, or a panel without scores, are left out, and the log says so.

    Raises
    ------
    InputError
        ``no_cohort``, ``no_images``, ``too_few_spots``, ``wrong_encoder``, ``no_shared_genes``, ``no_shared_pathways``,
        ``other_spots``; those of `pathways.gene_sets`.
    """
    if not filtered:
        raise InputError(
            "no_cohort",
            "There is no section to learn pathways from.",
            "Mark samples 'pretrain' in the sheet.",
        )
    chosen, images = _with_images(_scored(list(zip(filtered, embeddings, scores, strict=True))))
    vocabulary = _vocabulary([paths[0] for paths in chosen])
    organism = str(images[0].spots.uns["tissuemake"].get("organism", ""))
    sets = read_gene_sets(gene_sets)
    members = matched_sets(sets, vocabulary, organism=organism, orthologs=orthologs)
    pathways = _pathways([paths[2] for paths in chosen], sets, gene_sets)
    vocabulary = _most_telling(vocabulary, members, genes)
    slides, measured = [], []
    for image, paths in zip(images, chosen, strict=True):
        slide, patch = patches_of(image)
        measured.append(measured_on(paths[0], paths[2], patch, pathways, vocabulary.index))
        slides.append(replace(slide, values=measured[-1].values))
    return Cohort(images, slides, measured, pathways, members, vocabulary[["gene_id"]])


def _scored(sections: list[tuple]) -> list[tuple]:
    """Those of which any set was scored; all of them when none was, so that the error names them."""
    chosen = [paths for paths in sections if len(columns_of(paths[2]))]
    for paths in sections if chosen else []:
        if paths not in chosen:
            log.warning("%s holds no scores: its section is left out.", paths[2])
    return chosen or sections


def _with_images(sections: list[tuple]) -> tuple[list[tuple], list[SpotVectors]]:
    chosen, images, few = [], [], {}
    for paths in sections:
        image = read_spot_vectors(paths[0], paths[1])
        patches = len(np.unique(image.row[image.seen]))
        if patches < FEWEST_PATCHES:
            few[image.sample] = patches
            log.warning("%s has spots on %d H&E tiles: left out.", image.sample, patches)
            continue
        if images:
            config = {"encoder": images[0].encoder, "features": list(images[0].tiles.var_names)}
            refuse_other_encoder(image, config, Path(chosen[0][1]), Path(paths[1]))
        chosen.append(paths)
        images.append(image)
    if not images:
        said = ", ".join(f"{sample} ({count})" for sample, count in few.items())
        raise InputError(
            "too_few_spots" if any(few.values()) else "no_images",
            f"quadflow learns from sections with spots on at least {FEWEST_PATCHES} H&E tiles; there are: {said}.",
            "Give the slide of a pretraining sample (samples.tsv, column image), or leave quadflow out.",
        )
    return chosen, images


def _vocabulary(filtered: list[Path]) -> pd.DataFrame:
    """Genes that all sections measure and enough spots show, with their mean variance in ``variance``."""
    shared: pd.DataFrame | None = None
    for path in filtered:
        adata = read_anndata(path, FILTERED)
        seen = np.asarray((adata.layers["counts"] > 0).sum(axis=0)).ravel() >= SEEN_IN * adata.n_obs
        table = adata.var[["gene_id"]].astype(str).assign(variance=column_variance(adata.X))[seen]
        if shared is None:
            shared = table
        else:
            shared = shared[shared.index.isin(table.index)].copy()
            shared["variance"] += table["variance"].reindex(shared.index)
    if len(shared) < FEWEST_GENES:
        raise InputError(
            "no_shared_genes",
            f"The sections of the cohort share {len(shared)} genes ({filtered[0]}, …).",
            "Pretrain on sections of one organism whose panels overlap.",
        )
    return shared


def _most_telling(vocabulary: pd.DataFrame, members: dict[str, list[str]], most: int) -> pd.DataFrame:
    """Members of sets and other genes by variance: half of the places at least are for members, if there are any."""
    inside = vocabulary.index.isin({gene for listed in members.values() for gene in listed})
    ranked = vocabulary.sort_values("variance", ascending=False, kind="stable").index
    member = ranked.isin(vocabulary.index[inside])
    first = ranked[member][: most // 2]
    rest = ranked[~ranked.isin(first)][: most - len(first)]
    return vocabulary.loc[sorted([*first, *rest])]


def _pathways(scores: list[Path], sets: dict, gene_sets: Path) -> list[str]:
    columns = [columns_of(path) for path in scores]
    shared = [name for name in columns[0] if all(name in other for other in columns[1:]) and name in sets]
    if not shared:
        raise InputError(
            "no_shared_pathways",
            f"No gene set of {gene_sets} is scored in all {len(scores)} sections of the cohort ({scores[0]}, …).",
            "Score all samples with this library, or take sections with larger panels.",
        )
    return shared
