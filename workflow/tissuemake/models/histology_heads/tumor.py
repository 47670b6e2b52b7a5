"""Shell: tumour in every spot from its H&E tile, by a head fitted on the sections that a pathologist labelled."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tissuemake import __version__
from tissuemake.contracts import FILTERED, TUMOR, read_anndata, write_table
from tissuemake.errors import InputError
from tissuemake.evaluation.tables import read_labels
from tissuemake.models.curve import Curve
from tissuemake.models.held_out import ALL, head_of_spots
from tissuemake.models.histology_heads.held_out_heads import (
    Labelled,
    fit_together,
    fit_twins,
    has_several_donors,
    label_spots,
    relative,
    twin_scores,
)
from tissuemake.models.histology_heads.logistic import LogisticHead, log_loss
from tissuemake.models.record import head_card, solved_curve
from tissuemake.models.spot_vectors import (
    SpotVectors,
    can_be_held_out,
    read_spot_vectors,
    refuse_other_encoder,
)
from tissuemake.models.store import load_model, save_model, weights_hash
from tissuemake.provenance import measured

# Cross-fitted log loss (nats) by which the level of a section must help before it is trusted: a cohort of one staining
# cannot show what another does to it.
LEVEL_GAIN = 0.05
INTENDED_USE = (
    "Probability that the tissue around a spot is tumour, read off the embedding of its H&E tile, on sections "
    "stained and scanned like those it was fitted on. A map to look at with the slide; no diagnosis."
)
FAILURE_MODES = (
    "Where config.json says within_section, a spot is seen relative to its section: a section without any tumour, or "
    "of nothing else, is given about the cohort's share all the same. Trust ranks within a section more than levels.",
    "Where it does not, a staining or scanner unlike the cohort's shifts all probabilities.",
    "Tumour types that the cohort does not have, and dense normal epithelium or lymphoid tissue.",
    "Probabilities are calibrated to the cohort's share of tumour; a section with far less has too many.",
    "A spot at the border holds both; its label was one word.",
)


def fit_tumor(
    sections: Sequence[tuple[Path, Path, str]],
    output: Path,
    *,
    tumor_labels: Sequence[str],
    ignored_labels: Sequence[str] = (),
    seed: int = 0,
) -> None:
    """Fit a head on all sections, and twins that did not see a donor (or, of a lone donor, a block) each.

    Embeddings are taken relative to their section (staining and scanner fall out), unless the level of the sections
    tells clearly more about donors that were left out. Logistic regression with a ridge penalty on them, by
    principal components where features outnumber spots, both classes weighted alike. Penalty and calibration (Platt's
    sigmoid) come from log odds that are cross-fitted by donor; of a lone donor by 5 blocks of its sections (k-means
    of positions), without spots within a tile's edge (at least 250 µm) of the block asked. Then the share of tumour
    among the labels is added; heads without a block get that of the whole section, or their answers would not
    compare.

    Parameters
    ----------
    sections
        ``filtered.h5ad``, embeddings of one encoder, and the sheet's cell `labels`.
    output
        Folder of the model (`models.store`).
    tumor_labels, ignored_labels
        Labels that are tumour, and labels that say neither; all others are not tumour.

    Raises
    ------
    InputError
        ``no_tumor_label``, ``one_class``, ``wrong_encoder``, and those of `evaluation.tables.read_labels`.
    """
    started = time.perf_counter()
    cohort, said = _read_cohort(sections, tumor_labels, ignored_labels, seed)
    first = cohort[0].section
    cohort, within_section, head, loss = _choose_level(cohort)
    heads = {ALL: head}
    for donor in dict.fromkeys(part.section.donor for part in cohort):
        heads.update(fit_twins(cohort, donor))
    names = list(heads)
    scores = {
        part.section.sample: twin_scores(part, heads) if can_be_held_out(part.section) else None
        for part in cohort
    }
    config = {
        "kind": "tumor",
        "encoder": first.encoder,
        "encoder_sha256": encoder_hash(first),
        "features": first.tiles.var_names.tolist(),
        "within_section": within_section,
        "tile_um": first.tile_um,
        "heads": names,
        "strengths": [heads[name].strength for name in names],
        "donors": {part.section.sample: part.section.donor for part in cohort},
        "spots": {part.section.sample: len(part.truth) for part in cohort},
        "tumor_spots": {part.section.sample: int(part.truth.sum()) for part in cohort},
        "tumor_labels": list(tumor_labels),
        "other_labels": sorted(said - set(tumor_labels) - set(ignored_labels)),
        "calibration": "Platt's sigmoid on log odds cross-fitted by donor, of a lone donor by spatial blocks",
        "scores": scores,
        "seed": seed,
        "version": __version__,
    }
    state = {
        "weight": torch.tensor(np.stack([heads[name].weight for name in names])),
        "bias": torch.tensor([heads[name].bias for name in names], dtype=torch.float64),
    }
    fitted = float(np.mean([log_loss(heads[ALL].logit(part.vectors), part.truth) for part in cohort]))
    asked = loss if np.isfinite(loss) else fitted
    curve = solved_curve(fitted, asked, seed, time.perf_counter() - started)
    save_model(output, state, config, _card(config, sections, curve), curve)


def detect_tumor(filtered: Path, embeddings: Path, model: Path | str, output: Path) -> None:
    """Write the probability of tumour of every spot (NaN without a tile) and whether its head saw the spot's donor.

    A sample of the head's cohort is asked of the twin that never saw its donor; of a lone donor, block by block, of
    the twin that saw neither the block nor what lies next to it. Column ``seen`` is True where no such twin could
    be fitted, and everywhere if the encoder was fine-tuned on the donor. The provenance names the heads and, of a
    sample of the cohort, AUROC and AUPRC on its labels as its twins gave them; None where there was none.

    Raises
    ------
    InputError
        ``wrong_encoder``, and those of `load_model`.
    """
    with measured("tumor") as record:
        section = read_spot_vectors(filtered, embeddings)
        state, config = load_model(model, "tumor")
        refuse_other_encoder(section, config, Path(model), Path(embeddings))
        refuse_other_weights(section, config, Path(model))
        weight, bias = state["weight"].numpy(), state["bias"].numpy()
        heads = {
            name: LogisticHead(weight[row], float(bias[row])) for row, name in enumerate(config["heads"])
        }
        asked = head_of_spots(section.sample, section.donor, section.positions, config)
        vectors = section.standardised if config["within_section"] else section.vectors
        probability = np.full(section.spots.n_obs, np.nan)
        for name in dict.fromkeys(asked):
            chosen = section.seen & (asked == name)
            probability[chosen] = heads[name].probability(vectors(chosen))
        known = section.donor in config["donors"].values()
        blind = can_be_held_out(section)
        table = pd.DataFrame(
            {"probability": probability, "seen": (known & (asked == ALL)) | (not blind)},
            index=section.spots.obs_names,
        )
        record.update(
            encoder=section.encoder,
            model=str(Path(model).name),
            weights_sha256=weights_hash(model) if Path(model).is_dir() else "",
            heads=sorted(set(asked)),
            tumor_labels=config["tumor_labels"],
            scores=config["scores"].get(section.sample) if blind else None,
            encoder_saw_donor=not blind,
        )
    write_table(table, output, TUMOR, record)


def encoder_hash(section: SpotVectors) -> str:
    """Hash of the encoder's weights, as its embeddings state it; empty where it has none."""
    return str(section.tiles.uns["tissuemake"].get("weights_sha256", ""))


def refuse_other_weights(section: SpotVectors, config: dict, model: Path) -> None:
    """Raise ``wrong_encoder`` where the encoder bears the same name but was trained anew since."""
    if config["encoder_sha256"] != encoder_hash(section):
        raise InputError(
            "wrong_encoder",
            f"{model} was fitted on other weights of '{section.encoder}' "
            f"({config['encoder_sha256'][:12] or 'not stated'}) than sample '{section.sample}' is embedded with "
            f"({encoder_hash(section)[:12] or 'not stated'}).",
            "Fit the head again, or embed the sample with the weights of the head's cohort.",
        )


def _read_cohort(
    sections: Sequence[tuple[Path, Path, str]],
    tumor_labels: Sequence[str],
    ignored_labels: Sequence[str],
    seed: int,
) -> tuple[list[Labelled], set[str]]:
    """The labelled spots of all sections, and all labels that they bear."""
    cohort, said = [], set()
    for filtered, embeddings, cell in sections:
        section = read_spot_vectors(filtered, embeddings)
        source = str(section.spots.uns["tissuemake"].get("source", ""))
        labels = read_labels(cell, read_anndata(filtered, FILTERED), source)
        said |= set(labels)
        if cohort:
            config = {
                "encoder": cohort[0].section.encoder,
                "features": list(cohort[0].section.tiles.var_names),
            }
            refuse_other_encoder(section, config, Path(sections[0][1]), Path(embeddings))
        cohort.append(label_spots(section, labels[~labels.isin(list(ignored_labels))], tumor_labels, seed))
    _refuse_one_class(cohort, said, tumor_labels, ignored_labels)
    return cohort, said


def _choose_level(cohort: list[Labelled]) -> tuple[list[Labelled], bool, LogisticHead, float]:
    """Vectors relative to their section, unless as they are they tell tumour in other donors better by `LEVEL_GAIN`.

    Returns the cohort with these vectors, whether they are relative, the head of all and its loss.
    """
    within = [relative(part) for part in cohort]
    head, loss = fit_together(within)
    if has_several_donors(cohort):
        plain, plain_loss = fit_together(cohort)
        if plain_loss < loss - LEVEL_GAIN:
            return cohort, False, plain, plain_loss
    return within, True, head, loss


def _refuse_one_class(
    cohort: list[Labelled], said: set[str], tumor_labels: Sequence[str], ignored_labels: Sequence[str]
) -> None:
    truth = np.concatenate([part.truth for part in cohort])
    samples = ", ".join(part.section.sample for part in cohort)
    there = ", ".join(f"'{name}'" for name in sorted(said)) or "none"
    if not truth.any():
        raise InputError(
            "no_tumor_label",
            f"No spot with a tile of {samples} has a label that is tumour "
            f"({', '.join(tumor_labels) or 'none is named'}); the labels are: {there}.",
            "Name those that are tumour in the config (histology: tumor_labels).",
        )
    if truth.all():
        raise InputError(
            "one_class",
            f"All {len(truth)} labelled spots of {samples} are tumour; the labels are: {there}"
            f"{', of which ' + ', '.join(ignored_labels) + ' are ignored' if ignored_labels else ''}.",
            "Add a sample with labelled tissue that is none, or take a label out of histology: tumor_labels "
            "or ignored_labels in the config.",
        )


def _card(config: dict, sections: Sequence[tuple[Path, Path, str]], curve: Curve) -> str:
    scores = {
        f"{metric}, {sample}, by heads that did not see its donor or block": found[metric]
        for sample, found in config["scores"].items()
        if found
        for metric in ("AUROC", "AUPRC")
    }
    return head_card(
        f"Tumour from {config['encoder']}",
        kind="tumor",
        intended_use=INTENDED_USE,
        failure_modes=FAILURE_MODES,
        files=dict(zip(config["donors"], sections, strict=True)),
        preset=f"logistic regression, {len(config['heads'])} heads",
        scores=scores,
        curve=curve,
    )
