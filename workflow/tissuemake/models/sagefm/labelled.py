"""Sections with an embedding of every spot and, where somebody looked, labels: what a probe is fitted on and asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tissuemake.contracts import FILTERED, SPOT_EMBEDDINGS, read_anndata, read_annotations
from tissuemake.errors import InputError
from tissuemake.evaluation.splits import near_block, spatial_blocks
from tissuemake.evaluation.tables import read_labels
from tissuemake.models.held_out import FOLDS, LEAST_BUFFER_UM, donor_of
from tissuemake.models.probe import within_section
from tissuemake.models.sagefm.graph import RING_LIMITS

# The network looks so many pitches around a spot: those that lie so near a block saw it.
REACH = max(limits[-1] for limits in RING_LIMITS.values())


@dataclass(frozen=True)
class EmbeddedSection:
    """A section as a model of spots sees it.

    Attributes
    ----------
    vectors
        (spots, features) relative to the section.
    positions
        (spots, 2) in µm.
    pitch_um
        From spot to spot; 0 without a lattice.
    encoder
        Name and hash of the model that embedded it.
    labels
        Text by barcode, of labelled spots alone.
    """

    sample: str
    donor: str
    barcodes: pd.Index
    vectors: np.ndarray
    positions: np.ndarray
    pitch_um: float
    encoder: tuple[str, str]
    labels: pd.Series

    @property
    def rows(self) -> np.ndarray:
        """Positions of the labelled spots."""
        return self.barcodes.get_indexer(self.labels.index)

    def blocks(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Block (spots,) of each, and whether it lies in or near each block (spots, `FOLDS`)."""
        found = spatial_blocks(self.positions, FOLDS, seed)
        reach = max(REACH * self.pitch_um, LEAST_BUFFER_UM)
        near = [near_block(self.positions, found == fold, reach) for fold in range(FOLDS)]
        return found, np.column_stack(near)


def read_section_vectors(
    filtered: Path, embeddings: Path, labels: str = "", ignored_labels: Sequence[str] = ()
) -> EmbeddedSection:
    """Read a section; `labels` is the sheet's cell, without one no spot is labelled.

    Raises
    ------
    InputError
        ``other_spots`` when the embedding is of other spots; those of `read_labels` and of the contracts.
    """
    spots = read_annotations(filtered, FILTERED)
    embedded = read_anndata(embeddings, SPOT_EMBEDDINGS)
    facts, made = spots.uns["tissuemake"], embedded.uns["tissuemake"]
    sample = str(facts["sample"])
    if not embedded.obs_names.equals(spots.obs_names):
        raise InputError(
            "other_spots",
            f"{embeddings} does not hold the spots of sample '{sample}' as {filtered} does.",
            f"Delete it and run again: {SPOT_EMBEDDINGS.written_by} embeds the spots that quality control kept.",
        )
    named = pd.Series(dtype=object)
    if labels:
        named = read_labels(labels, spots, str(facts.get("source", "")))
        named = named[~named.isin(list(ignored_labels))]
    scale = float(spots.uns["spatial"][sample]["scalefactors"]["microns_per_pixel"])
    return EmbeddedSection(
        sample,
        donor_of(facts),
        spots.obs_names,
        within_section(embedded.X),
        np.asarray(spots.obsm["spatial"], float) * scale,
        float(facts.get("pitch_um", 0.0)),
        (str(made.get("method", "")), str(made.get("weights_sha256", ""))),
        named,
    )
