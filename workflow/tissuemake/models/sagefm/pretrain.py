"""Pretrain the spatial graph model on the sections of a cohort: filtered files in, a model folder out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import torch
from torch import Tensor

from tissuemake import __version__
from tissuemake.contracts import FILTERED, read_anndata
from tissuemake.device import given_device
from tissuemake.errors import InputError
from tissuemake.evaluation.splits import spatial_blocks
from tissuemake.expression import column_variance
from tissuemake.files import sha256
from tissuemake.models.card import model_card
from tissuemake.models.checkpoints import discard_checkpoints
from tissuemake.models.curve import Curve
from tissuemake.models.held_out import donor_of
from tissuemake.models.sagefm.architecture import GRAPHS, PRESETS, Architecture, Preset
from tissuemake.models.sagefm.build import build_network, neighborhood, rings_of
from tissuemake.models.sagefm.lessons import Pupil
from tissuemake.models.sagefm.readout import solve_readout
from tissuemake.models.sagefm.section import Section, read_section
from tissuemake.models.sagefm.train import log_statistics, principal_loadings, train_network
from tissuemake.models.store import save_model

# A gene that fewer spots show says nothing of its neighbourhood.
FEWEST_SPOTS = 10
# Compact blocks of a section, one of which is scored and not learnt from.
BLOCKS = 10
FEWEST_OBSERVATIONS = 50
FEWEST_GENES = 20
INTENDED_USE = (
    "Genes that were hidden or not measured, spot embeddings for domains and labels, and what-if changes of genes, in "
    "sections of the organism, tissue and assay of training. Research use; not for diagnosis."
)
FAILURE_MODES = (
    "Tissue of another kind than that of training: components and neighbours mean something else there.",
    "A gene outside the vocabulary is not predicted; a panel with few genes of it gives components near 0.",
    "Log expression follows library size: read the scores in which depth is taken out.",
    "A what-if is what the network learnt from association; it is no experiment.",
)


def pretrain_sagefm(
    filtered: Sequence[Path],
    output: str | Path,
    *,
    preset: str = "tiny",
    graph: str = "rings",
    seed: int = 0,
    gpus: int = 0,
    checkpoints: str | Path,
    custom: Preset | None = None,
) -> None:
    """Teach a network to predict hidden genes of spots and write it as a model into the folder `output`.

    Parameters
    ----------
    filtered
        ``filtered.h5ad`` of the cohort's sections; genes are matched by symbol.
    preset
        ``tiny``, ``small`` or ``base``; see `architecture`.
    graph
        ``rings``, or ``clique`` for the published recipe.
    gpus
        How many the scheduler gave; 0 trains on the CPU.
    checkpoints
        Where a killed training goes on from; removed when the model is written.
    custom
        Sizes and schedule other than those of `preset`, whose name is then only a label.

    Raises
    ------
    InputError
        ``unknown_preset``, ``unknown_graph``, ``no_cohort``, ``too_few_spots``, ``too_few_genes``,
        ``gpu_not_visible``, ``training_diverged``.
    """
    chosen = _chosen(preset, graph, custom)
    device = given_device(gpus)
    paths = [Path(path) for path in filtered]
    if not paths:
        raise InputError(
            "no_cohort", "There is no section to learn from.", "Mark samples 'pretrain' in the sheet."
        )
    cohort = [read_anndata(path, FILTERED) for path in paths]
    sections, genes, blocks = _read(paths, cohort, chosen.architecture, seed)
    mean, sd = log_statistics(sections)
    torch.manual_seed(seed)
    loadings = principal_loadings(sections, chosen.architecture.loadings, seed)
    pupils = [Pupil(section, mean, sd, loadings, rings_of(chosen.architecture)) for section in sections]
    taught = [np.flatnonzero(block > 0) for block in blocks]
    examined = [np.flatnonzero(block == 0) for block in blocks]
    readout = None if graph == "clique" else solve_readout(pupils, taught, examined, seed)
    network = build_network(
        chosen.architecture, loadings, torch.from_numpy(mean), torch.from_numpy(sd), readout
    )
    hashes = {f"{path.parent.name}/{path.name}": sha256(path) for path in paths}
    curve = train_network(
        network,
        pupils,
        taught,
        examined,
        chosen,
        checkpoints=Path(checkpoints),
        device=device,
        seed=seed,
        identity={"sections": hashes, "preset": chosen},
    )
    state: dict[str, Tensor] = {f"network.{name}": value for name, value in network.state_dict().items()} | {
        "log.mean": torch.from_numpy(mean),
        "log.sd": torch.from_numpy(sd),
    }
    state |= {"loadings.directions": loadings.directions, "loadings.variance": loadings.variance}
    held_out = f"a compact tenth of each of {len(paths)} sections"
    config = {
        "kind": "sagefm",
        "preset": preset,
        "architecture": chosen.architecture.as_dict(),
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "genes": genes,
        "spots": int(sum(len(section) for section in sections)),
        "sections": hashes,
        "donors": sorted({donor_of(adata.uns["tissuemake"]) for adata in cohort}),
        "held_out": held_out,
        "version": __version__,
    }
    save_model(output, state, config, _card(preset, graph, hashes, curve, held_out), curve)
    discard_checkpoints(Path(checkpoints))


def _chosen(preset: str, graph: str, custom: Preset | None) -> Preset:
    if custom is None and preset not in PRESETS:
        raise InputError(
            "unknown_preset",
            f"There is no preset '{preset}' of sagefm.",
            f"Set models: sagefm: preset to one of {', '.join(PRESETS)}.",
        )
    if graph not in GRAPHS:
        raise InputError(
            "unknown_graph",
            f"There is no graph '{graph}' of sagefm.",
            f"Set models: sagefm: graph to one of {', '.join(GRAPHS)}.",
        )
    chosen = custom or PRESETS[preset]
    return replace(chosen, architecture=replace(chosen.architecture, graph=graph))


def _read(
    paths: Sequence[Path], cohort: Sequence[ad.AnnData], shape: Architecture, seed: int
) -> tuple[list[Section], list[str], list[np.ndarray]]:
    """Sections in one vocabulary, its genes, and the block of every observation."""
    for path, adata in zip(paths, cohort, strict=True):
        if adata.n_obs < FEWEST_OBSERVATIONS:
            raise InputError(
                "too_few_spots",
                f"{path} has {adata.n_obs} spots; sagefm learns from sections of at least {FEWEST_OBSERVATIONS}.",
                "Empty the column 'pretrain' of this sample.",
            )
    genes = choose_genes(cohort, shape.genes)
    if len(genes) < FEWEST_GENES:
        raise InputError(
            "too_few_genes",
            f"{len(genes)} genes are seen in {FEWEST_SPOTS} spots of a section of the cohort ({paths[0]}, …).",
            f"Mark samples that measure at least {FEWEST_GENES} genes.",
        )
    sections = [read_section(adata, genes, neighborhood(adata, shape)) for adata in cohort]
    blocks = [spatial_blocks(adata.obsm["spatial"], BLOCKS, seed) for adata in cohort]
    return sections, genes, blocks


def choose_genes(cohort: Sequence[ad.AnnData], most: int) -> list[str]:
    """Symbols of the genes whose log expression varies most, mean over all sections (0 where not measured)."""
    scores: dict[str, float] = {}
    for adata in cohort:
        seen = np.asarray((adata.layers["counts"] > 0).sum(axis=0)).ravel() >= FEWEST_SPOTS
        variance = column_variance(adata.X)
        for gene, value in zip(adata.var_names[seen], variance[seen], strict=True):
            scores[gene] = scores.get(gene, 0.0) + value
    return sorted(sorted(scores, key=lambda gene: (-scores[gene], gene))[:most])


def _card(preset: str, graph: str, hashes: dict[str, str], curve: Curve, held_out: str) -> str:
    return model_card(
        f"SAGE-FM ({preset}, {graph})",
        kind="sagefm",
        intended_use=INTENDED_USE,
        training_data=hashes,
        preset=preset,
        curve=curve,
        scores={
            f"squared error of hidden genes in units of their variance, {held_out}": curve.columns[
                "valid_loss"
            ][-1]
        },
        failure_modes=FAILURE_MODES,
        licence="That of the sections: weights are derived from them.",
    )
