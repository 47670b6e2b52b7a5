"""Pretrain a model on a prepared atlas: files in, a model folder out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import torch

from tissuemake import __version__
from tissuemake.contracts import MARKERS, REFERENCE, read_anndata, read_table
from tissuemake.device import given_device
from tissuemake.errors import InputError
from tissuemake.files import sha256
from tissuemake.models.card import model_card
from tissuemake.models.checkpoints import discard_checkpoints
from tissuemake.models.sparank.architecture import PRESETS, Preset
from tissuemake.models.sparank.atlas import Part, as_reference, choose_genes, part, split_donors
from tissuemake.models.sparank.intervals import calibrated_sd, coverage, fit_intervals
from tissuemake.models.sparank.model import Composition, SpaRank
from tissuemake.models.sparank.train import divergence, exam, train_network
from tissuemake.models.store import save_model

CALIBRATION_SECTIONS = 24

INTENDED_USE = (
    "Shares of the cell types of the training atlas (and of what it lacks) in spots of Visium, ST, binned Visium HD "
    "or pseudo-spots of one section, of the atlas's organism or one with orthologs. Other atlases can be shown to it "
    "by their signatures. Research use; not for diagnosis."
)
FAILURE_MODES = (
    "Types whose profiles are alike share their weight; read the coarser level.",
    "A section of nearly one type: platform factors and that type's genes cannot be told apart.",
    "Shares are of cells as the atlas's RNA contents see them; where the tissue's differ, so do the shares.",
    "Spots of under about 100 counts say little; the sd columns say so.",
    "The unknown share finds types that differ from all known ones; a relative of a known type is taken for it.",
)


def pretrain_sparank(
    reference: str | Path,
    markers: str | Path,
    output: str | Path,
    *,
    preset: str = "tiny",
    seed: int = 0,
    gpus: int = 0,
    checkpoints: str | Path,
    sections: Sequence[tuple[Path, Path]] = (),
    custom: Preset | None = None,
) -> None:
    """Train on the cells of a prepared atlas and write the model into the folder `output`.

    Parameters
    ----------
    reference, markers
        As written by ``prepare_reference``.
    preset
        ``tiny``, ``small`` or ``base``; see `architecture`.
    gpus
        How many the scheduler gave; 0 trains on the CPU.
    checkpoints
        Where a killed training goes on from; removed when the model is written.
    sections
        ``filtered.h5ad`` and tile embeddings of the pretraining cohort, to teach the image gate.
    custom
        Sizes and schedule other than those of `preset`, whose name is then only a label.

    Raises
    ------
    InputError
        ``unknown_preset``, ``gpu_not_visible``, ``training_diverged``.
    """
    chosen = custom or _preset(preset)
    device = given_device(gpus)
    atlas = read_anndata(reference, REFERENCE)
    genes = choose_genes(atlas, read_table(markers, MARKERS), chosen.genes)
    split = _split(atlas, genes, seed)
    hashes = {Path(reference).name: sha256(reference)}
    network, curve = train_network(
        split.taught.cells,
        split.examined.cells,
        split.taught.reference,
        split.examined.reference,
        chosen,
        checkpoints=Path(checkpoints),
        device=device,
        seed=seed,
        identity={"atlas": hashes[Path(reference).name]},
    )
    intervals, scores = _examine(network, split, chosen.spots, seed)
    whole = as_reference(atlas, genes, split.types)
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    state["reference.signature"] = whole.signature
    config = _config(atlas, genes, network, preset, chosen)
    config |= {"types": split.types, "medians": whole.medians.tolist()}
    config |= {"intervals": intervals, "held_out": split.said}
    if sections:
        from tissuemake.models.sparank.cohort import teach_gate

        state, config = teach_gate(network, whole, sections, state, config, Path(checkpoints), device, seed)
    card = model_card(
        f"SpaRank on {config['reference']}",
        kind="sparank",
        intended_use=INTENDED_USE,
        training_data=hashes,
        preset=preset,
        curve=curve,
        scores={f"{name}, simulated from {split.said}": value for name, value in scores.items()},
        failure_modes=FAILURE_MODES,
        licence="That of the atlas: weights are derived from its data.",
    )
    save_model(output, state, config, card, curve)
    discard_checkpoints(Path(checkpoints))


def _preset(name: str) -> Preset:
    if name not in PRESETS:
        raise InputError(
            "unknown_preset",
            f"There is no preset '{name}' of sparank.",
            f"Set models: sparank: preset to one of {', '.join(PRESETS)}.",
        )
    return PRESETS[name]


@dataclass(frozen=True)
class _Split:
    """Cells that teach, cells that examine, all types of the atlas, and in words which cells examine."""

    taught: Part
    examined: Part
    types: list[str]
    said: str


def _split(atlas: ad.AnnData, genes: np.ndarray, seed: int) -> _Split:
    types = sorted(atlas.obs["cell_type"].astype(str).unique())
    kept, held_out, by_donor = split_donors(atlas, seed)
    training = atlas[kept]
    taught, examined = (part(cells, genes, types, training) for cells in (training, atlas[held_out]))
    donors = "held-out donors" if by_donor else "the training donors"
    return _Split(taught, examined, types, f"{int(held_out.sum())} cells of {donors}")


def _examine(
    network: SpaRank, split: _Split, spots: int, seed: int
) -> tuple[list[list[float]], dict[str, float]]:
    """Factors of the intervals, and scores; on fresh sections: those that chose the weights would flatter both."""
    cells, reference = split.examined.cells, split.examined.reference
    intervals = fit_intervals(network, exam(cells, reference, spots, seed + 1, CALIBRATION_SECTIONS))
    return intervals, _scores(network, exam(cells, reference, spots, seed + 2), intervals)


def _config(atlas: ad.AnnData, genes: np.ndarray, network: SpaRank, preset: str, chosen: Preset) -> dict:
    """What the network is, and of what: vocabulary, origin, code."""
    return {
        "kind": "sparank",
        "preset": preset,
        "architecture": chosen.architecture.as_dict(),
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "genes": atlas.var_names[genes].tolist(),
        "gene_ids": atlas.var["gene_id"].astype(str).iloc[genes].tolist(),
        "version": __version__,
        **_origin(atlas),
    }


def _origin(atlas: ad.AnnData) -> dict:
    """What is known of the atlas: its name, organism and the coarser levels of its types."""
    facts = atlas.uns["tissuemake"]
    hierarchy = atlas.uns.get("hierarchy")
    levels = {} if hierarchy is None else {name: hierarchy[name].astype(str).to_dict() for name in hierarchy}
    return {"reference": str(facts["reference"]), "organism": str(facts["organism"]), "hierarchy": levels}


@torch.no_grad()
def _scores(network: SpaRank, lessons: list, intervals: list[list[float]]) -> dict[str, float]:
    """Divergence and coverage of the 90% intervals on sections that chose nothing."""
    losses, covered, squares = [], [], []
    for lesson in lessons:
        said: Composition = network(lesson.section.counts, lesson.section.measured, lesson.reference)
        losses.append(float(divergence(said, lesson.target)))
        covered.append(coverage(said.mean, calibrated_sd(said, intervals), lesson.target))
        squares.append(float(((said.mean - lesson.target) ** 2).mean(1).sqrt().mean()))
    mean = {"divergence (nats)": losses, "90% interval coverage": covered, "RMSE": squares}
    return {name: sum(values) / len(values) for name, values in mean.items()}
