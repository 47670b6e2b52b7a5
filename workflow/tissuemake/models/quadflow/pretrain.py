"""Pretrain the pathway transformer on a cohort: sections, embeddings and pathway scores in, a model folder out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tissuemake import __version__
from tissuemake.device import given_device
from tissuemake.errors import InputError
from tissuemake.evaluation.metrics import pearson
from tissuemake.evaluation.splits import spatial_blocks
from tissuemake.files import sha256
from tissuemake.models.card import model_card
from tissuemake.models.checkpoints import discard_checkpoints
from tissuemake.models.curve import Curve
from tissuemake.models.quadflow.architecture import PRESETS, Flows, Preset
from tissuemake.models.quadflow.bottleneck import fit_gene_layer, membership
from tissuemake.models.quadflow.cohort import Cohort, read_cohort
from tissuemake.models.quadflow.model import Model, Scales
from tissuemake.models.quadflow.network import QuadflowNetwork, View
from tissuemake.models.quadflow.ridge import fit_ridge
from tissuemake.models.quadflow.section import Reader
from tissuemake.models.quadflow.train import Pupil, train_network
from tissuemake.models.store import save_model

# Principal components kept of an encoder with more features.
COMPONENTS = 96
# Compact blocks of a slide: one is scored and not learnt from, and the ridge's penalty is chosen by all.
BLOCKS = 8
# An answer varies at least this share of what is measured, as variance; matching all of it would blow up noise.
VARIANCE_SHARE = 0.8
LARGEST_GAIN = 8.0
INTENDED_USE = (
    "Which way pathways go across a slide, from its H&E alone, on tissue stained and scanned like that of the cohort; "
    "which patches speak for a pathway. For looking, and for choosing what to measure; no measurement, no diagnosis."
)
FAILURE_MODES = (
    "Tissue, or a tumour, that the cohort does not hold: on another patient correlations fall to a quarter.",
    "Activities are about the cohort's level in every slide: only the pattern within a slide is read off the image.",
    "Answers are stretched to vary as measured scores do, so their squared error is not the smallest possible.",
    "An activity that the image does not show is answered with something all the same: read the held-out scores.",
    "Attention says where the network looked, not what causes what.",
)


def pretrain_quadflow(
    filtered: Sequence[Path],
    embeddings: Sequence[Path],
    scores: Sequence[Path],
    gene_sets: Path,
    output: str | Path,
    *,
    preset: str = "tiny",
    flows: Flows | Sequence[str] | None = None,
    correlation: float | None = None,
    smoothness: float | None = None,
    free: bool = True,
    expression: int | None = None,
    seed: int = 0,
    gpus: int = 0,
    checkpoints: str | Path,
    custom: Preset | None = None,
    orthologs: str | Path | None = None,
) -> None:
    """Teach the network pathway scores from image features and write it as a model into the folder `output`.

    Parameters
    ----------
    filtered, embeddings, scores
        ``filtered.h5ad``, embeddings of one encoder, and contract PATHWAYS of the cohort's sections.
    gene_sets
        GMT whose sets were scored: it says which genes a pathway may speak for.
    preset
        ``tiny``, ``small`` or ``base``; see `architecture`.
    flows
        Which flows are on, or their names; None: those of the preset, all four.
    correlation, smoothness
        Weights of these parts of the loss; None: those of the preset.
    free
        Whether genes may read the image past the pathways.
    expression
        Principal components of a patch's own expression that are read beside its image; None: as the preset says.
    gpus
        How many the scheduler gave; 0 trains on the CPU.
    checkpoints
        Where a killed training goes on from; removed when the model is written.
    custom
        Sizes, losses and schedule other than those of `preset`, whose name is then only a label.

    Raises
    ------
    InputError
        ``unknown_preset``, ``unknown_flow``, those of `cohort.read_cohort`, ``gpu_not_visible``,
        ``training_diverged``.
    """
    chosen = _weighted(_chosen(preset, flows, custom), correlation, smoothness, free, expression)
    device = given_device(gpus)
    cohort = read_cohort(
        filtered, embeddings, scores, gene_sets, genes=chosen.architecture.genes, orthologs=orthologs
    )
    paths = [Path(path) for path in (*filtered, *embeddings, *scores, gene_sets)]
    hashes = {f"{path.parent.name}/{path.name}": sha256(path) for path in paths}
    model, curve, facts = teach(
        cohort,
        chosen,
        seed=seed,
        device=device,
        checkpoints=Path(checkpoints),
        identity={"sections": hashes, "preset": chosen},
    )
    first = cohort.images[0]
    config = {
        "kind": "quadflow",
        "preset": preset,
        "architecture": chosen.architecture.as_dict(),
        "parameters": sum(weight.numel() for weight in model.network.parameters()),
        "pathways": cohort.pathways,
        "genes": cohort.genes.index.tolist(),
        "gene_ids": cohort.genes["gene_id"].tolist(),
        "encoder": first.encoder,
        "features": first.tiles.var_names.tolist(),
        "tile_um": first.tile_um,
        "sections": hashes,
        "spots": int(sum(len(slide) for slide in cohort.slides)),
        "donors": sorted({*cohort.donors, *_taught_encoder(cohort)}),
        "version": __version__,
        **facts,
    }
    save_model(output, model.state(), config, _card(config, curve), curve)
    discard_checkpoints(Path(checkpoints))


def teach(
    cohort: Cohort, preset: Preset, *, seed: int, device, checkpoints: Path, identity: dict | None = None
) -> tuple[Model, Curve, dict]:
    """Fit ridge, gene layer and network; return the model, its curve, and the scores on spots kept back."""
    shape = preset.architecture
    reader = Reader.of(cohort.slides, COMPONENTS, shape)
    smooth = preset.weights.smoothness > 0
    views = [reader.view(slide, graph=smooth) for slide in cohort.slides]
    scales, targets, values = _standard_units(cohort)
    blocks = [spatial_blocks(slide.positions_um[slide.rows], BLOCKS, seed) for slide in cohort.slides]
    taught = [block > 0 for block in blocks]
    inputs = [view.features.numpy().astype(np.float64) for view in views]
    ridge, penalty = fit_ridge(
        [part[kept] for part, kept in zip(inputs, taught, strict=True)],
        [part[kept] for part, kept in zip(targets, taught, strict=True)],
        [block[kept] for block, kept in zip(blocks, taught, strict=True)],
    )
    mask = membership(cohort.pathways, cohort.members, cohort.genes.index)
    layer = fit_gene_layer(*(_taught(part, taught) for part in (targets, inputs, values)), mask, shape.free)
    torch.manual_seed(seed)
    network = QuadflowNetwork(shape, inputs[0].shape[1], len(cohort.pathways))
    pupils = [
        Pupil(view, *map(_tensor, (target[:, :-1], value)), torch.from_numpy(kept))
        for view, target, value, kept in zip(views, targets, values, taught, strict=True)
    ]
    curve = train_network(
        network,
        pupils,
        layer.weights[:-1],
        preset,
        checkpoints=checkpoints,
        device=device,
        seed=seed,
        identity=identity,
    )
    model = Model(reader, network.cpu(), _tensor(ridge), layer, scales)
    model, said = _stretched(model, views, targets)
    facts = {"ridge_penalty": penalty, "scores": _scores(said, targets, taught)}
    return model, curve, facts


def _taught(parts: list[np.ndarray], taught: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([part[kept] for part, kept in zip(parts, taught, strict=True)]).astype(np.float64)


def _standard_units(cohort: Cohort) -> tuple[Scales, list[np.ndarray], list[np.ndarray]]:
    """Scales, and by section scores with depth (n, P + 1) and genes (n, G) about 0 in units of deviations."""
    scores = [np.column_stack([part.scores, part.depth]) for part in cohort.measured]
    values = [part.values.astype(np.float64) for part in cohort.measured]
    (level, sd, targets), (gene_level, gene_sd, genes) = _standard(scores), _standard(values)
    ones = np.ones(len(level) - 1)
    flat = [level[:-1], sd[:-1], ones, ones, gene_level, gene_sd]
    return Scales(*map(_tensor, flat)), targets, genes


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _standard(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    means = [part.mean(axis=0) for part in parts]
    centred = [part - mean for part, mean in zip(parts, means, strict=True)]
    sd = np.maximum(np.sqrt(np.concatenate([part**2 for part in centred]).mean(axis=0)), 1e-6)
    return np.mean(means, axis=0), sd, [part / sd for part in centred]


def _stretched(model: Model, views: list[View], targets: list[np.ndarray]) -> tuple[Model, list[np.ndarray]]:
    """Give network and ridge equal parts, and answers the spread that scores have within slides; and what is said."""
    learnt, line = zip(*(model.parts(view) for view in views), strict=True)
    balance = _spread(line)[:-1] / np.maximum(_spread(learnt), 1e-6)
    model = replace(model, scales=replace(model.scales, balance=_tensor(np.clip(balance, 0, LARGEST_GAIN))))
    said = [model.standard(view)[:, :-1].numpy() for view in views]
    gain = np.sqrt(VARIANCE_SHARE) * _spread(targets)[:-1] / np.maximum(_spread(said), 1e-6)
    gain = _tensor(np.clip(gain, 1.0, LARGEST_GAIN))
    return replace(model, scales=replace(model.scales, gain=gain)), said


def _spread(parts: Sequence[np.ndarray | Tensor]) -> np.ndarray:
    """Deviation within slides, by column."""
    return np.sqrt(np.mean([np.asarray(part, np.float64).var(axis=0) for part in parts], axis=0))


def _scores(said: list[np.ndarray], targets: list[np.ndarray], taught: list[np.ndarray]) -> dict[str, float]:
    """Mean PCC over pathways on the spots kept back."""
    found = [pearson(a[~kept], b[~kept, :-1]) for a, b, kept in zip(said, targets, taught, strict=True)]
    return {"PCC of pathways, blocks kept back": float(np.nan_to_num(np.nanmean(found)))}


def _chosen(preset: str, flows: Flows | Sequence[str] | None, custom: Preset | None) -> Preset:
    if custom is None and preset not in PRESETS:
        raise InputError(
            "unknown_preset",
            f"There is no preset '{preset}' of quadflow.",
            f"Set models: quadflow: preset to one of {', '.join(PRESETS)}.",
        )
    chosen = custom or PRESETS[preset]
    if flows is None:
        return chosen
    flows = flows if isinstance(flows, Flows) else Flows.of(flows)
    return replace(chosen, architecture=replace(chosen.architecture, flows=flows))


def _weighted(
    preset: Preset,
    correlation: float | None,
    smoothness: float | None,
    free: bool,
    expression: int | None,
) -> Preset:
    given = {"correlation": correlation, "smoothness": smoothness}
    given = {name: value for name, value in given.items() if value is not None}
    shape = preset.architecture if free else replace(preset.architecture, free=0)
    shape = shape if expression is None else replace(shape, expression=expression)
    return replace(preset, architecture=shape, weights=replace(preset.weights, **given))


def _taught_encoder(cohort: Cohort) -> set[str]:
    """Donors by whose expression the encoder was taught."""
    return {
        donor
        for image in cohort.images
        for donor in dict(image.tiles.uns["tissuemake"].get("fine_tuned_on", {})).values()
    }


def _card(config: dict, curve: Curve) -> str:
    flows = ", ".join(Flows(**config["architecture"]["flows"]).names) or "none"
    return model_card(
        f"quadflow ({config['preset']}; {len(config['pathways'])} pathways from {config['encoder']})",
        kind="quadflow",
        intended_use=INTENDED_USE,
        training_data=config["sections"],
        preset=f"{config['preset']}; flows: {flows}",
        curve=curve,
        scores={f"{name} (same donors)": value for name, value in config["scores"].items()},
        failure_modes=FAILURE_MODES,
        licence="That of the sections, of the encoder and of the gene sets: weights are derived from them.",
    )
