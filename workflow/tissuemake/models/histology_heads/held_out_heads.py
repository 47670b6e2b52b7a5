"""Heads that did not see what they are asked about: another donor, or another block of the same section."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tissuemake.evaluation.metrics import presence_precision, presence_rank
from tissuemake.evaluation.splits import near_block, spatial_blocks
from tissuemake.models.held_out import FOLDS, LEAST_BUFFER_UM, without_block, without_donor
from tissuemake.models.histology_heads.logistic import LogisticHead, Part, fit_calibrated, prior_logit, usable
from tissuemake.models.spot_vectors import SpotVectors


@dataclass(frozen=True)
class Labelled:
    """The spots of a section that have a label and a tile.

    Attributes
    ----------
    rows
        (n,) of the section's spots.
    vectors, truth
        (n, features), and (n,) bool, whether it is tumour.
    fold, near
        (n,) block of each, and (n, `FOLDS`) whether it lies in or near each block.
    """

    section: SpotVectors
    rows: np.ndarray
    vectors: np.ndarray
    truth: np.ndarray
    fold: np.ndarray
    near: np.ndarray


def label_spots(section: SpotVectors, labels: pd.Series, tumor_labels: Sequence[str], seed: int) -> Labelled:
    """Take the spots of a section that have a label (text by barcode) and a tile; vectors as they are."""
    named = section.spots.obs_names.isin(labels.index) & section.seen
    barcodes = section.spots.obs_names[named]
    blocks = spatial_blocks(section.positions, FOLDS, seed)
    buffer = max(section.tile_um, LEAST_BUFFER_UM)
    near = np.column_stack([near_block(section.positions, blocks == fold, buffer) for fold in range(FOLDS)])
    truth = labels.loc[barcodes].isin(list(tumor_labels)).to_numpy(bool)
    rows = np.flatnonzero(named)
    return Labelled(section, rows, section.vectors(rows), truth, blocks[named], near[named])


def relative(part: Labelled) -> Labelled:
    """The same spots with vectors relative to their section's."""
    return replace(part, vectors=part.section.standardised(part.rows))


def has_several_donors(cohort: Sequence[Labelled]) -> bool:
    """Whether heads without a donor can be fitted for at least two."""
    return len({part.section.donor for part in cohort}) > 1 and len(_by_donor(cohort)) > 1


def _by_donor(cohort: Sequence[Labelled]) -> list[Part]:
    donor = np.concatenate([[part.section.donor] * len(part.truth) for part in cohort])
    truth = np.concatenate([part.truth for part in cohort])
    parts = [Part(np.flatnonzero(donor != name), np.flatnonzero(donor == name)) for name in np.unique(donor)]
    return usable(parts, truth)


def _parts(cohort: list[Labelled]) -> list[Part]:
    """Folds by donor where several have both sides of it; else by block, other donors always to fit on."""
    found = _by_donor(cohort)
    if len(found) > 1:
        return found
    parts, start = [], 0
    for part in cohort:
        rows = start + np.arange(len(part.truth))
        parts += [Part(rows[~part.near[:, fold]], rows[part.fold == fold]) for fold in range(FOLDS)]
        start += len(part.truth)
    return parts


def fit_together(cohort: Sequence[Labelled], prior: float | None = None) -> tuple[LogisticHead, float]:
    """One head for all of `cohort`, and its cross-fitted log loss; see `fit_calibrated`."""
    vectors = np.concatenate([part.vectors for part in cohort])
    return fit_calibrated(vectors, np.concatenate([part.truth for part in cohort]), _parts(cohort), prior)


def fit_twins(cohort: list[Labelled], donor: str) -> dict[str, LogisticHead]:
    """Heads that did not see `donor`; where the others lack a class, heads that did not see a block of a section."""
    others = [part for part in cohort if part.section.donor != donor]
    if others and len(np.unique(np.concatenate([part.truth for part in others]))) == 2:
        return {without_donor(donor): fit_together(others)[0]}
    heads = {}
    for part in cohort:
        if part.section.donor != donor:
            continue
        prior = prior_logit(np.concatenate([other.truth for other in [*others, part]]))
        for fold in range(FOLDS):
            away = ~part.near[:, fold]
            if len(np.unique(part.truth[away])) == 2:
                rest = Labelled(
                    part.section,
                    *(own[away] for own in (part.rows, part.vectors, part.truth, part.fold, part.near)),
                )
                # Serial sections of the donor show the same glands: they stay out.
                heads[without_block(part.section.sample, fold)] = fit_together([*others, rest], prior)[0]
    return heads


def twin_scores(part: Labelled, heads: dict[str, LogisticHead]) -> dict | None:
    """AUROC and AUPRC of a section's labels by its twins; None where there are none, or only one class is asked."""
    logit = np.full(len(part.truth), np.nan)
    if without_donor(part.section.donor) in heads:
        logit = heads[without_donor(part.section.donor)].logit(part.vectors)
    for fold in range(FOLDS):
        head = heads.get(without_block(part.section.sample, fold))
        if head is not None:
            logit[part.fold == fold] = head.logit(part.vectors[part.fold == fold])
    asked = np.isfinite(logit)
    if len(np.unique(part.truth[asked])) < 2:
        return None
    found = {
        "AUROC": presence_rank(logit[asked], part.truth[asked]),
        "AUPRC": presence_precision(logit[asked], part.truth[asked]),
    }
    return {**found, "spots": int(asked.sum()), "tumor_spots": int(part.truth[asked].sum())}
