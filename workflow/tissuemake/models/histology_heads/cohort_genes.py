"""The sections of a cohort as an expression head learns from them: tiles, expression, and genes they all measure."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.contracts import FILTERED, read_anndata
from tissuemake.errors import InputError
from tissuemake.expression import column_variance
from tissuemake.genes import guess_organism, match_genes
from tissuemake.models.histology_heads.ridge import Section
from tissuemake.models.spot_vectors import (
    SpotVectors,
    read_spot_vectors,
    refuse_other_encoder,
)

log = logging.getLogger(__name__)

FEWEST_SPOTS = 30
FEWEST_GENES = 10
# A gene seen in fewer spots of a section than this has no pattern to learn.
SEEN_IN = 0.02
MOST_GENES = 2000


@dataclass(frozen=True)
class Slide:
    """A section with its image's vectors and its expression, and the files that these were read from."""

    image: SpotVectors
    spots: ad.AnnData
    files: tuple[Path, ...] = ()

    @property
    def organism(self) -> str:
        """As the sheet says, else as the genes look; may be empty."""
        said = str(self.spots.uns["tissuemake"].get("organism", ""))
        return said or guess_organism(self.spots.var_names, self.spots.var["gene_id"])

    @property
    def total_counts(self) -> np.ndarray:
        """(spots,) over all genes."""
        return np.asarray(self.spots.layers["counts"].sum(axis=1), dtype=np.float64).ravel()

    def values(self, genes: np.ndarray, spots: np.ndarray | slice = slice(None)) -> np.ndarray:
        """log1p of CP10k (spots, genes), dense."""
        chosen = self.spots.X[:, genes]
        return (chosen.toarray() if sp.issparse(chosen) else np.asarray(chosen))[spots].astype(np.float64)

    def section(self, genes: np.ndarray, group: str) -> Section:
        """Its spots that have a tile, with `genes` (positions)."""
        seen = self.image.seen
        return Section(
            self.image.vectors(seen),
            self.values(genes, seen),
            self.total_counts[seen],
            self.image.positions[seen],
            group,
        )


def read_slides(sections: Sequence[tuple[Path, Path]]) -> list[Slide]:
    """Read the sections of a cohort; those with too few spots on tiles are left out, and the log says so.

    Raises
    ------
    InputError
        ``no_images`` when none has tiles, ``too_few_spots`` when none has `FEWEST_SPOTS` on tiles,
        ``wrong_encoder`` when they were not embedded by one encoder.
    """
    slides, few = [], {}
    for filtered, embeddings in sections:
        image = read_spot_vectors(filtered, embeddings)
        if image.seen.sum() < FEWEST_SPOTS:
            few[image.sample] = int(image.seen.sum())
            log.warning("%s has %d spots with an H&E tile: left out.", image.sample, image.seen.sum())
            continue
        if slides:
            first = slides[0].image
            config = {"encoder": first.encoder, "features": list(first.tiles.var_names)}
            refuse_other_encoder(image, config, Path(sections[0][1]), Path(embeddings))
        slides.append(Slide(image, read_anndata(filtered, FILTERED), (Path(filtered), Path(embeddings))))
    if not slides:
        raise _nothing_to_learn_from(few)
    return slides


def _nothing_to_learn_from(few: dict[str, int]) -> InputError:
    said = ", ".join(f"{sample} ({count})" for sample, count in few.items()) or "none was given"
    if not any(few.values()):
        return InputError(
            "no_images",
            f"No section of the pretraining cohort has H&E tiles: {said}.",
            "Give the slide of a pretraining sample (samples.tsv, column image), or leave prediction from images out.",
        )
    return InputError(
        "too_few_spots",
        f"A section teaches expression from {FEWEST_SPOTS} spots with an H&E tile on; there are: {said}.",
        "Add sections to the pretraining cohort (samples.tsv, column pretrain), or check that image and spots match.",
    )


@dataclass(frozen=True)
class Cohort:
    """Slides of one organism: `genes` (slides, shared) are positions of the shared genes, named as in `var`."""

    organism: str
    slides: list[Slide]
    genes: list[np.ndarray]
    var: pd.DataFrame

    def without(self, donor: str) -> "Cohort":
        """The slides of other donors."""
        kept = [i for i, slide in enumerate(self.slides) if slide.image.donor != donor]
        return Cohort(self.organism, [self.slides[i] for i in kept], [self.genes[i] for i in kept], self.var)

    @property
    def donors(self) -> list[str]:
        """In order of appearance."""
        return list(dict.fromkeys(slide.image.donor for slide in self.slides))

    @property
    def known_to_encoder(self) -> set[str]:
        """Donors by whose expression the encoder was taught."""
        return {slide.image.donor for slide in self.slides if slide.image.encoder_saw_donor}

    def variable(self, most: int = MOST_GENES) -> np.ndarray:
        """Shared genes (positions in `var`) by their variance within sections, largest first.

        Genes seen in fewer than 2 % of any section's spots are left out.
        """
        variance = np.zeros(len(self.var))
        seen = np.ones(len(self.var), dtype=bool)
        for slide, genes in zip(self.slides, self.genes, strict=True):
            values = sp.csr_matrix(slide.spots.X)[:, genes]
            seen &= np.asarray((values > 0).mean(axis=0)).ravel() >= SEEN_IN
            variance += column_variance(values)
        ranked = np.argsort(np.where(seen, -variance, 1), kind="stable")
        return ranked[: min(most, int(seen.sum()))]

    def sections(self, chosen: np.ndarray) -> list[Section]:
        """What a head learns from; folds are by donor, of a lone donor by section."""
        one = len(self.donors) == 1
        return [
            slide.section(genes[chosen], slide.image.sample if one else slide.image.donor)
            for slide, genes in zip(self.slides, self.genes, strict=True)
        ]


def cohorts(slides: list[Slide]) -> list[Cohort]:
    """The slides by organism, with the genes that all of an organism's slides measure.

    Raises
    ------
    InputError
        ``no_shared_genes``.
    """
    found = []
    for organism in dict.fromkeys(slide.organism for slide in slides):
        part = [slide for slide in slides if slide.organism == organism]
        first = part[0].spots.var
        matched = [dict(_pairs(slide.spots.var, first)) for slide in part]
        shared = [gene for gene in range(len(first)) if all(gene in pairs for pairs in matched)]
        if len(shared) < FEWEST_GENES:
            names = ", ".join(slide.image.sample for slide in part)
            raise InputError(
                "no_shared_genes",
                f"The {organism or 'pretraining'} sections {names} share {len(shared)} genes.",
                "Pretrain on sections whose panels overlap, and check that genes are named alike.",
            )
        genes = [np.array([pairs[gene] for gene in shared]) for pairs in matched]
        found.append(Cohort(organism, part, genes, first[["gene_id"]].iloc[shared].astype(str)))
    return found


def _pairs(var: pd.DataFrame, first: pd.DataFrame) -> list[tuple[int, int]]:
    match = match_genes(var, first)
    return list(zip(match.right.tolist(), match.left.tolist(), strict=True))
