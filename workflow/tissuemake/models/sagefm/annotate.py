"""Shell: labels of spots from the model's embedding, by a linear probe on the sections that somebody labelled."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tissuemake import __version__
from tissuemake.contracts import ANNOTATION, write_table
from tissuemake.errors import InputError
from tissuemake.evaluation.annotation_scores import macro_f1
from tissuemake.models.held_out import ALL, FOLDS, head_of_spots, without_block, without_donor
from tissuemake.models.probe import Probe, fit_probe
from tissuemake.models.record import head_card, solved_curve
from tissuemake.models.sagefm.labelled import EmbeddedSection, read_section_vectors
from tissuemake.models.store import load_model, save_model, weights_hash
from tissuemake.provenance import measured

KIND = "annotation"
INTENDED_USE = (
    "The region that a spot belongs to, as somebody named it on a few sections, read off the embedding of the spot "
    "and its surroundings. A map to look at beside the tissue; no diagnosis."
)
FAILURE_MODES = (
    "A label that the cohort does not have is never given: such spots get the nearest one.",
    "Labels that one donor alone has cannot be told in others; frequent ones are given too often.",
    "Spots are seen relative to their section: one of a single region is divided all the same.",
    "Probabilities are not calibrated on other donors.",
)


def fit_annotation(
    sections: Sequence[tuple[Path, Path, str]],
    output: Path | str,
    *,
    ignored_labels: Sequence[str] = (),
    seed: int = 0,
) -> None:
    """Fit a probe on all sections, and twins that did not see a donor (or, of a lone donor, a block) each.

    Parameters
    ----------
    sections
        ``filtered.h5ad``, the embedding of its spots (contract SPOT_EMBEDDINGS), and the sheet's cell `labels`.
    output
        Folder of the model (`models.store`), kind ``annotation``.
    ignored_labels
        Those that are not learnt.

    Raises
    ------
    InputError
        ``one_class`` when all labelled spots bear one label or there are none; ``wrong_model`` when the sections
        were embedded by different models; those of `read_section_vectors`.
    """
    started = time.perf_counter()
    cohort = [
        read_section_vectors(Path(filtered), Path(embeddings), cell, ignored_labels)
        for filtered, embeddings, cell in sections
    ]
    _refuse(cohort)
    probe, score = _together(cohort, seed)
    probes = {ALL: probe}
    for donor in dict.fromkeys(part.donor for part in cohort):
        probes |= _twins(cohort, donor, seed)
    names, classes = list(probes), probes[ALL].classes
    config = {
        "kind": KIND,
        "encoder": cohort[0].encoder[0],
        "encoder_sha256": cohort[0].encoder[1],
        "width": cohort[0].vectors.shape[1],
        "classes": list(classes),
        "heads": names,
        "strengths": [probes[name].strength for name in names],
        "donors": {part.sample: part.donor for part in cohort},
        "spots": {part.sample: len(part.labels) for part in cohort},
        "ignored_labels": list(ignored_labels),
        "seed": seed,
        "version": __version__,
    }
    config["scores"] = {part.sample: _scores(part, probes, config) for part in cohort}
    stacked = [_over(probes[name], classes) for name in names]
    state = {
        "weight": torch.tensor(np.stack([weight for weight, _ in stacked])),
        "bias": torch.tensor(np.stack([bias for _, bias in stacked])),
    }
    files = dict(zip(config["donors"], sections, strict=True))
    # A probe has no loss that it was stopped by: what chose its penalty stands there, 1 - macro-F1.
    fitted = 1 - _fitted_score(cohort, probes[ALL])
    asked = 1 - score if np.isfinite(score) else fitted
    curve = solved_curve(fitted, asked, seed, time.perf_counter() - started)
    card = head_card(
        f"Labels from {config['encoder']}",
        kind=KIND,
        intended_use=INTENDED_USE,
        failure_modes=FAILURE_MODES,
        files=files,
        preset=f"logistic regression, {len(names)} probes",
        scores={
            f"{metric}, {sample}, by probes that did not see its donor or block": found[metric]
            for sample, found in config["scores"].items()
            if found
            for metric in ("accuracy", "macro-F1")
        },
        curve=curve,
    )
    save_model(output, state, config, card, curve)


def annotate_spots(filtered: Path, embeddings: Path, model: Path | str, output: Path) -> None:
    """Write the most probable label of every spot, its probability, and whether its probe saw the spot's donor.

    A donor of the probe's cohort is asked of the twin that never saw them; a lone donor block by block, of the twin
    that saw neither the block nor what lies next to it. Column ``seen`` is True where no such twin could be fitted.

    Raises
    ------
    InputError
        ``wrong_model`` when another model embedded the spots; those of `load_model` and `read_section_vectors`.
    """
    with measured(KIND) as record:
        section = read_section_vectors(Path(filtered), Path(embeddings))
        state, config = load_model(model, KIND)
        known = (config["encoder"], config["encoder_sha256"])
        _refuse_other(section, known, config["width"], f"The probe {model}")
        classes = tuple(config["classes"])
        asked = head_of_spots(section.sample, section.donor, section.positions, config)
        share = np.zeros((len(section.barcodes), len(classes)))
        for row, name in enumerate(config["heads"]):
            chosen = asked == name
            if chosen.any():
                probe = Probe(state["weight"][row].numpy(), state["bias"][row].numpy(), classes)
                share[chosen] = probe.probability(section.vectors[chosen])
        labels = np.asarray(classes, dtype=object)[share.argmax(axis=1)]
        rows = [row for row, name in enumerate(config["heads"]) if (asked == name).any()]
        given = np.isfinite(state["bias"].numpy()[rows]).any(axis=0)
        seen = (asked == ALL) & (section.donor in config["donors"].values())
        table = pd.DataFrame(
            {"label": labels, "probability": share.max(axis=1), "seen": seen}, index=section.barcodes
        )
        record.update(
            encoder=config["encoder"],
            model=Path(model).name,
            weights_sha256=weights_hash(model) if Path(model).is_dir() else "",
            heads=sorted(set(asked)),
            # Those that the probes asked here could give: a twin knows none that its donor alone has.
            labels=[name for name, known in zip(classes, given, strict=True) if known],
            scores=config["scores"].get(section.sample),
        )
    write_table(table, output, ANNOTATION, record)


def _together(cohort: Sequence[EmbeddedSection], seed: int) -> tuple[Probe, float]:
    """One probe for all labelled spots; its penalty is chosen by donors left out, of a lone one by blocks."""
    vectors = np.concatenate([part.vectors[part.rows] for part in cohort])
    labels = np.concatenate([part.labels.to_numpy() for part in cohort])
    donor = np.concatenate([np.full(len(part.labels), part.donor, dtype=object) for part in cohort])
    donors = list(dict.fromkeys(donor))
    if len(donors) > 1:
        folds = [(np.flatnonzero(donor != name), np.flatnonzero(donor == name)) for name in donors]
        return fit_probe(vectors, labels, folds)
    folds, start = [], 0
    for part in cohort:
        blocks, near = part.blocks(seed)
        rows = start + np.arange(len(part.labels))
        for fold in range(FOLDS):
            folds.append((rows[~near[part.rows, fold]], rows[blocks[part.rows] == fold]))
        start += len(rows)
    return fit_probe(vectors, labels, folds)


def _twins(cohort: Sequence[EmbeddedSection], donor: str, seed: int) -> dict[str, Probe]:
    """Probes that did not see `donor`; where the others lack labels, probes that did not see a block of a section."""
    others = [part for part in cohort if part.donor != donor]
    if len({name for part in others for name in part.labels}) > 1:
        return {without_donor(donor): _together(others, seed)[0]}
    probes = {}
    for part in cohort:
        if part.donor != donor:
            continue
        _, near = part.blocks(seed)
        for fold in range(FOLDS):
            # Serial sections of the donor show the same regions: they stay out.
            away = ~near[part.rows, fold]
            labels = part.labels.to_numpy()[away]
            if len(set(labels)) > 1:
                probes[without_block(part.sample, fold)] = fit_probe(part.vectors[part.rows][away], labels)[0]
    return probes


def _over(probe: Probe, classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias over all `classes`; one that the probe never saw is impossible."""
    weight = np.zeros((len(classes), probe.weight.shape[1]))
    bias = np.full(len(classes), -np.inf)
    rows = [classes.index(name) for name in probe.classes]
    weight[rows], bias[rows] = probe.weight, probe.bias
    return weight, bias


def _scores(part: EmbeddedSection, probes: dict[str, Probe], config: dict) -> dict | None:
    """Accuracy and macro-F1 of a section's labels by its twins; None where it has none."""
    asked = head_of_spots(part.sample, part.donor, part.positions, config)[part.rows]
    said = np.full(len(asked), None, dtype=object)
    for name in set(asked) - {ALL}:
        said[asked == name] = probes[name].label(part.vectors[part.rows][asked == name])
    judged = asked != ALL
    if not judged.any():
        return None
    found, truth = pd.Series(said[judged]), pd.Series(part.labels.to_numpy()[judged])
    return {
        "accuracy": float((found == truth).mean()),
        "macro-F1": macro_f1(found, truth),
        "spots": len(truth),
    }


def _fitted_score(cohort: Sequence[EmbeddedSection], probe: Probe) -> float:
    return float(
        np.mean(
            [
                macro_f1(pd.Series(probe.label(part.vectors[part.rows])), part.labels.reset_index(drop=True))
                for part in cohort
                if len(part.labels)
            ]
        )
    )


def _refuse(cohort: Sequence[EmbeddedSection]) -> None:
    """Raise where nothing can be learnt, or sections are embedded differently."""
    for part in cohort[1:]:
        width = cohort[0].vectors.shape[1]
        _refuse_other(part, cohort[0].encoder, width, f"Sample '{cohort[0].sample}'")
    names = sorted({str(name) for part in cohort for name in part.labels})
    if len(names) < 2:
        samples = ", ".join(part.sample for part in cohort) or "no sample"
        raise InputError(
            "one_class",
            f"The labelled spots of {samples} bear {len(names)} label{'' if len(names) == 1 else 's'}"
            f"{': ' + names[0] if names else ''}; a probe needs two.",
            "Add a labelled sample, correct the sheet's column labels, or ask for no annotation.",
        )


def _refuse_other(section: EmbeddedSection, encoder: tuple[str, str], width: int, who: str) -> None:
    if section.encoder != encoder or section.vectors.shape[1] != width:
        raise InputError(
            "wrong_model",
            f"{who} uses spots embedded by {encoder[0]} {encoder[1][:12]} ({width} numbers), but sample "
            f"'{section.sample}' is embedded by {section.encoder[0]} {section.encoder[1][:12]} "
            f"({section.vectors.shape[1]} numbers).",
            "Embed all samples with one model, or fit the probe again.",
        )
