"""Pretrain the encoder on the tiles of a cohort: tile files in, a model folder out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from tissuemake import __version__
from tissuemake.device import given_device
from tissuemake.errors import InputError
from tissuemake.files import sha256
from tissuemake.histology.tile_store import TileStore
from tissuemake.models.card import model_card
from tissuemake.models.checkpoints import discard_checkpoints
from tissuemake.models.curve import Curve
from tissuemake.models.spafoundation.architecture import PRESETS, Preset
from tissuemake.models.spafoundation.cohort import (
    BYTES_IN_MEMORY,
    CohortTiles,
    Rows,
    choose_rows,
    colour_statistics,
)
from tissuemake.models.spafoundation.collapse import WATCHED
from tissuemake.models.spafoundation.network import vit_config
from tissuemake.models.spafoundation.train import train_encoder
from tissuemake.models.store import save_model

# Batches of tiles below which an epoch is over before the schedules have begun.
LEAST_BATCHES = 4
READERS = 4
INTENDED_USE = (
    "Features of H&E tiles of the physical size and from laboratories like those of training: expression, tumour and "
    "domains are read from them by small heads. Research use; not for diagnosis."
)
FAILURE_MODES = (
    "Tiles of another magnification, stain or scanner than those of training: features shift with them.",
    "From few slides the features may be no better than measures of colour and texture (encoder 'color'): compare.",
    "Depth (library size) shows in cellularity: correlation with expression counts only where depth is regressed out.",
)


def pretrain_spafoundation(
    tiles: Sequence[Path],
    output: str | Path,
    *,
    preset: str = "tiny",
    seed: int = 0,
    gpus: int = 0,
    checkpoints: str | Path,
    donors: Sequence[str] | None = None,
    custom: Preset | None = None,
) -> None:
    """Teach an encoder on spot and grid tiles of all slides and write it as a model into the folder `output`.

    Its weights are the teacher's, under the names of transformers' ``ViTModel``, which can open the folder.

    Parameters
    ----------
    tiles
        Tile files of the cohort, as written by ``tile_slide``.
    preset
        ``tiny``, ``small`` or ``base``; see `architecture`.
    gpus
        How many the scheduler gave; 0 trains on the CPU.
    checkpoints
        Where a killed training goes on from; removed when the model is written.
    donors
        Of each of `tiles`; see `cohort.choose_rows`.
    custom
        Sizes and schedule other than those of `preset`, whose name is then only a label.

    Raises
    ------
    InputError
        ``unknown_preset``, ``no_cohort``, ``too_few_tiles``, ``gpu_not_visible``, ``collapsed``,
        ``training_diverged``.
    """
    if custom is None and preset not in PRESETS:
        raise InputError(
            "unknown_preset",
            f"There is no preset '{preset}' of spafoundation.",
            f"Set models: spafoundation: preset to one of {', '.join(PRESETS)}.",
        )
    paths = [Path(path) for path in tiles]
    if donors is not None and len(donors) != len(paths):
        raise ValueError(f"{len(donors)} donors for {len(paths)} tile files")
    device = given_device(gpus)
    chosen = custom or PRESETS[preset].on(device.processes)
    rows = choose_rows(paths, donors, chosen.valid_tiles, LEAST_BATCHES * chosen.distillation.batch, seed)
    learnt, scored = (_part(paths, rows, held_out, chosen) for held_out in (False, True))
    mean, sd = colour_statistics(learnt, seed)
    hashes = _hashes(paths)
    distiller, curve = train_encoder(
        learnt,
        len(learnt),
        scored(torch.arange(len(scored))),
        chosen,
        mean,
        sd,
        checkpoints=Path(checkpoints),
        device=device,
        seed=seed,
        workers=0 if learnt.in_memory else READERS,
        on_device=learnt.in_memory,
        identity={"tiles": hashes},
    )
    source = f"the held-out donor {rows.by_donor}" if rows.by_donor else "held-out tiles of the same slides"
    config = {
        **vit_config(chosen.architecture).to_diff_dict(),
        "kind": "spafoundation",
        "preset": preset,
        "architecture": chosen.architecture.as_dict(),
        "parameters": sum(weight.numel() for weight in distiller.teacher.backbone.parameters()),
        "mean": mean.tolist(),
        "sd": sd.tolist(),
        "tile_um": _tile_um(paths),
        "mpp": _tile_um(paths) / chosen.architecture.image_px,
        "pooling": chosen.pooling,
        "looks": chosen.looks,
        "tiles": len(learnt),
        "held_out": f"{len(scored)} tiles: {source}",
        "version": __version__,
    }
    save_model(
        output, distiller.teacher.backbone.state_dict(), config, _card(preset, hashes, curve, source), curve
    )
    discard_checkpoints(Path(checkpoints))


def _part(paths: Sequence[Path], rows: Rows, held_out: bool, preset: Preset) -> CohortTiles:
    part = rows.held_out == held_out
    size = 3 * preset.tile_px**2 * int(part.sum())
    keep = held_out or size <= BYTES_IN_MEMORY
    return CohortTiles(paths, rows.slide[part], rows.row[part], preset.tile_px, keep)


def _hashes(paths: Sequence[Path]) -> dict[str, str]:
    return {f"{path.parent.name}/{path.name}": sha256(path) for path in paths}


def _tile_um(paths: Sequence[Path]) -> float:
    """Median edge of the tiles of all slides, µm."""
    edges = []
    for path in paths:
        with TileStore(path) as store:
            edges.extend(store.table["size_um"].unique())
    return float(np.median(edges))


def _card(preset: str, hashes: dict[str, str], curve: Curve, source: str) -> str:
    last = {name: curve.columns[name][-1] for name in ("valid_loss", *WATCHED)}
    return model_card(
        f"SpaFoundation ({preset})",
        kind="spafoundation",
        intended_use=INTENDED_USE,
        training_data=hashes,
        preset=preset,
        curve=curve,
        scores={f"{name}, {source}": value for name, value in last.items()},
        failure_modes=FAILURE_MODES,
        licence="That of the images: weights are derived from them.",
    )
