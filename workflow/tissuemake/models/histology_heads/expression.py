"""Shell: expression of every spot, bin or cell from its H&E tile alone, by a head fitted on the pretraining cohort."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import torch

from tissuemake import __version__
from tissuemake.contracts import FILTERED, IMPUTED, read_anndata, write_anndata
from tissuemake.errors import InputError
from tissuemake.evaluation.expression_metrics import depth_adjusted_correlations, gene_correlations
from tissuemake.models.curve import Curve
from tissuemake.models.histology_heads.cohort_genes import Cohort, Slide, cohorts, read_slides
from tissuemake.models.histology_heads.ridge import SECTION, Head, Recipe, fit_head
from tissuemake.models.histology_heads.section_prediction import predict_section
from tissuemake.models.histology_heads.tumor import encoder_hash, refuse_other_weights
from tissuemake.models.record import head_card, solved_curve
from tissuemake.models.spot_vectors import (
    can_be_held_out,
    read_spot_vectors,
    refuse_other_encoder,
)
from tissuemake.models.store import load_model, save_model, weights_hash
from tissuemake.provenance import measured

log = logging.getLogger(__name__)

ARRAYS = ("mean", "scale", "weights", "level")
JUDGED = 250
NOTHING_TO_SAY = ("no_images", "no_head_for_organism", "low_gene_overlap")
INTENDED_USE = (
    "Which way a gene goes across a section, read off the embedding of the H&E tile around each spot, on tissue "
    "stained and scanned like that of the cohort. For looking, and for choosing what to measure; no measurement."
)
FAILURE_MODES = (
    "Tissue, or a tumour, that the cohort does not hold: on another patient correlations fall to a fifth.",
    "Much of what correlates is how many cells there are; the score without depth says what is left.",
    "Levels are those of the cohort; only the pattern within a section was scored.",
    "An image at another resolution than the cohort's: what texture and nuclei measure then differs.",
)


def fit_expression(
    sections: Sequence[tuple[Path, Path]], output: Path, *, seed: int = 0, recipe: Recipe = SECTION
) -> None:
    """Fit a head from embeddings to genes on all sections, and twins that did not see a donor each.

    Genes are the (at most 2,000) most variable of those that all sections of an organism measure; of a twin, by the
    sections that it sees. Each organism has heads of its own.

    Parameters
    ----------
    sections
        ``filtered.h5ad`` and embeddings of one encoder.
    output
        Folder of the model (`models.store`).
    recipe
        See `ridge.Recipe`.

    Raises
    ------
    InputError
        ``no_images``, ``too_few_spots``, ``wrong_encoder``, ``no_shared_genes``.
    """
    started = time.perf_counter()
    slides = read_slides(sections)
    heads, state, vocabulary, scores, errors = [], {}, [], {}, []
    for cohort in cohorts(slides):
        offset = sum(map(len, vocabulary))
        vocabulary.append(cohort.var)
        twins = cohort.donors if len(cohort.donors) > 1 else []
        for donor in ["", *twins]:
            taught = cohort.without(donor) if donor else cohort
            chosen = taught.variable()
            head = fit_head(taught.sections(chosen), recipe, seed=seed)
            if donor not in cohort.known_to_encoder:
                errors.append((bool(donor), _error(head, taught if not donor else cohort, chosen, donor)))
            state |= {f"{len(heads)}.{name}": torch.from_numpy(getattr(head, name)) for name in ARRAYS}
            state[f"{len(heads)}.genes"] = torch.from_numpy(chosen + offset)
            heads.append({"organism": cohort.organism, "without": donor, "alpha": head.alpha})
            scores |= _twin_scores(head, cohort, chosen, donor)
    first = slides[0].image
    genes = pd.concat(vocabulary)
    config = {
        "kind": "expression",
        "encoder": first.encoder,
        "encoder_sha256": encoder_hash(first),
        "features": first.tiles.var_names.tolist(),
        "tile_um": first.tile_um,
        "recipe": recipe.as_dict(),
        "heads": heads,
        "genes": genes.index.astype(str).tolist(),
        "gene_ids": genes["gene_id"].tolist(),
        "donors": {slide.image.sample: slide.image.donor for slide in slides},
        "spots": {slide.image.sample: int(slide.image.seen.sum()) for slide in slides},
        "scores": scores,
        "seed": seed,
        "version": __version__,
    }
    curve = _curve(errors, seed, time.perf_counter() - started)
    save_model(output, state, config, _card(config, slides, curve), curve)


def predict_expression(filtered: Path, embeddings: Path, model: Path | str, output: Path) -> None:
    """Write what the head says of every spot: contract IMPUTED, genes under the sample's names where it has them.

    A sample of the head's cohort is asked of the twin that did not see its donor. `held_out_r` is the correlation
    across the section with what was measured, `held_out_r_depth_adjusted` that without the log library size
    (counted without the gene) on both sides, as for the other methods; NaN for genes that were not measured, and
    for all of them where the head saw the sample's donor (a cohort of one donor has no twins), or the encoder was
    fine-tuned on it. Spots without a tile are NaN. A sample without an image, of another organism or with other
    genes than the head gets no genes, and the reason as ``note`` in its record: in a cohort that must not keep its
    page from being written.

    Raises
    ------
    InputError
        ``wrong_encoder``, and those of `models.store.load_model`.
    """
    state, config = load_model(model, "expression")
    image = read_spot_vectors(filtered, embeddings)
    refuse_other_encoder(image, config, Path(model), Path(embeddings))
    refuse_other_weights(image, config, Path(model))
    slide = Slide(image, read_anndata(filtered, FILTERED))
    with measured(config["encoder"], seed=config["seed"], n_spots=slide.spots.n_obs) as record:
        record |= {
            "encoder": config["encoder"],
            "weights": weights_hash(model) if Path(model).is_dir() else str(model),
            "n_spots_without_tile": int((~image.seen).sum()),
        }
        try:
            predicted, facts = _ask(slide, state, config)
        except InputError as error:
            if error.code not in NOTHING_TO_SAY:
                raise
            predicted, facts = _nothing(slide), {"note": str(error)}
            log.warning("No gene is predicted: %s", error)
        record |= facts
    predicted.uns["tissuemake"] = record
    predicted.obsm["spatial"] = np.asarray(slide.spots.obsm["spatial"])
    predicted.obs["total_counts"] = slide.spots.obs["total_counts"].to_numpy()
    write_anndata(predicted, output, IMPUTED)


def _ask(slide: Slide, state: dict, config: dict) -> tuple[ad.AnnData, dict]:
    """Predictions of the sample's head, and which head that was."""
    if not slide.image.seen.any():
        raise InputError(
            "no_images",
            f"{slide.image.sample} has no H&E tiles to predict expression from.",
            "Give its slide (samples.tsv, column image), or leave the prediction from images out.",
        )
    number, saw = _choose_head(slide, config)
    saw = saw or not can_be_held_out(slide.image)
    predicted = predict_section(
        slide, _head(state, config, number), _vocabulary(state, config, number), scored=not saw
    )
    without = config["heads"][number]["without"]
    return predicted, {
        "head": f"without {without}" if without else "all",
        "head_saw_donor": saw,
        "encoder_saw_donor": slide.image.encoder_saw_donor,
        "n_held_out": int(predicted.var["held_out_r"].notna().sum()),
    }


def _nothing(slide: Slide) -> ad.AnnData:
    """A prediction of no genes."""
    columns = {"gene_id": str, "measured": bool, "held_out_r": float, "held_out_r_depth_adjusted": float}
    var = pd.DataFrame(
        {name: pd.Series(dtype=kind) for name, kind in columns.items()}, index=pd.Index([], dtype=str)
    )
    return ad.AnnData(
        np.zeros((slide.spots.n_obs, 0), np.float32), obs=pd.DataFrame(index=slide.spots.obs_names), var=var
    )


def _choose_head(slide: Slide, config: dict) -> tuple[int, bool]:
    """Number of the head that a sample is asked of, and whether that saw its donor."""
    donor = slide.image.donor
    own = [i for i, head in enumerate(config["heads"]) if head["organism"] == slide.organism]
    if not own:
        known = ", ".join(dict.fromkeys(head["organism"] or "unnamed" for head in config["heads"]))
        raise InputError(
            "no_head_for_organism",
            f"{slide.image.sample} is {slide.organism or 'of no known organism'}; the head was fitted on {known}.",
            "Fill in the column organism of samples.tsv, or pretrain on sections of this organism too.",
        )
    twins = [i for i in own if config["heads"][i]["without"] == donor]
    return (twins[0], False) if twins else (own[0], donor in config["donors"].values())


def _head(state: dict, config: dict, number: int) -> Head:
    recipe = Recipe(**{**config["recipe"], "alphas": tuple(config["recipe"]["alphas"])})
    arrays = (state[f"{number}.{name}"].numpy() for name in ARRAYS)
    return Head(*arrays, alpha=config["heads"][number]["alpha"], recipe=recipe)


def _vocabulary(state: dict, config: dict, number: int) -> pd.DataFrame:
    chosen = state[f"{number}.genes"].numpy()
    names, ids = (np.array(config[key], dtype=object)[chosen] for key in ("genes", "gene_ids"))
    return pd.DataFrame({"gene_id": ids}, index=pd.Index(names, dtype=str))


def _twin_scores(head: Head, cohort: Cohort, chosen: np.ndarray, donor: str) -> dict[str, dict]:
    """Scores of the donor that a twin did not see, on its own most variable genes."""
    found = {}
    for slide, genes in zip(cohort.slides, cohort.genes, strict=True):
        if donor and slide.image.donor == donor and can_be_held_out(slide.image):
            section = slide.section(genes[chosen], donor)
            said = head.predict(section.features, section.positions)[:, :JUDGED]
            truth = section.values[:, :JUDGED]
            plain = gene_correlations(said, truth)
            adjusted = depth_adjusted_correlations(said, truth, section.total_counts)
            found[slide.image.sample] = {
                "PCC": float(np.nan_to_num(np.nanmean(plain))),
                "depth-adjusted PCC": float(np.nan_to_num(np.nanmean(adjusted))),
            }
    return found


def _error(head: Head, cohort: Cohort, chosen: np.ndarray, donor: str) -> float:
    """Mean squared error about the mean of a section, of the donor left out or of all sections."""
    parts = []
    for slide, section in zip(cohort.slides, cohort.sections(chosen), strict=True):
        if not donor or slide.image.donor == donor:
            rest = section.values - head.predict(section.features, section.positions)
            parts.append(rest.var(axis=0).mean())
    return float(np.mean(parts))


def _curve(errors: list[tuple[bool, float]], seed: int, seconds: float) -> Curve:
    """The validation loss is that of the twins."""
    fitted = float(np.mean([error for left_out, error in errors if not left_out]))
    asked = [error for left_out, error in errors if left_out]
    return solved_curve(fitted, float(np.mean(asked)) if asked else fitted, seed, seconds)


def _card(config: dict, slides: list[Slide], curve: Curve) -> str:
    scores = {
        f"{metric}, top {JUDGED} genes of {sample}, by the head that did not see its donor": value
        for sample, found in config["scores"].items()
        for metric, value in found.items()
    }
    return head_card(
        f"Expression from {config['encoder']}",
        kind="expression",
        intended_use=INTENDED_USE,
        failure_modes=FAILURE_MODES,
        files={slide.image.sample: slide.files for slide in slides},
        preset=f"ridge, {len(config['heads'])} heads, {len(slides)} sections",
        scores=scores,
        curve=curve,
    )
