"""Encoders of the image benchmarks that are trained here, and their untrained twins of the same shape."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.histology_encoders import Bench, embedded
from benchmarks.histology_sections import TEACHING_SLIDES, copy_tiles, spot_tiles, teaching_tiles
from tissuemake.files import atomic
from tissuemake.histology.tile_store import TileStore
from tissuemake.models.curve import Curve
from tissuemake.models.histology_heads.finetune import SCHEDULE, finetune_expression
from tissuemake.models.schedule import Schedule
from tissuemake.models.spafoundation.architecture import PRESETS, Preset
from tissuemake.models.spafoundation.network import build_backbone, vit_config
from tissuemake.models.spafoundation.pretrain import pretrain_spafoundation
from tissuemake.models.store import save_model


def pretrained(bench: Bench, slides: Sequence[str], seed: int) -> Path:
    """Model folder of the preset, taught on the tiles of `slides`, on `bench.tiles` of them if given."""
    some = f"-{bench.tiles}" if bench.tiles else ""
    folder = bench.own / "pretrained" / f"taught{some}-{seed}"
    if not (folder / "config.json").is_file():
        paths = [teaching_tiles(bench.section(name)) for name in slides]
        if bench.tiles:
            paths = _some(paths, bench, seed)
        pretrain_spafoundation(
            paths,
            folder,
            preset=bench.preset,
            seed=seed,
            checkpoints=folder.with_name(f"{folder.name}-checkpoints"),
            custom=_shortened(PRESETS[bench.preset], bench.steps) if bench.steps else None,
        )
    return folder


def _shortened(recipe: Preset | Schedule, steps: int) -> Preset | Schedule:
    """The recipe of a trial run, which teaches next to nothing."""
    if isinstance(recipe, Preset):
        return replace(recipe, schedule=_shortened(recipe.schedule, steps))
    return replace(recipe, steps=steps, validate_every=min(recipe.validate_every, steps))


def _some(paths: list[Path], bench: Bench, seed: int) -> list[Path]:
    """Files with `bench.tiles` random tiles, as many of each slide as its share."""
    counts = [len(TileStore(path)) for path in paths]
    found = []
    for path, count in zip(paths, counts, strict=True):
        output = bench.work / "some_tiles" / f"{path.parent.name}-{bench.tiles}-{seed}.arrow"
        if not output.is_file():
            rows = np.random.default_rng(seed).permutation(count)[: round(bench.tiles * count / sum(counts))]
            copy_tiles(path, output, np.sort(rows))
        found.append(output)
    return found


def fine_tuned(bench: Bench, sections: Sequence[str], seed: int) -> Path:
    """Model folder of the pretrained encoder whose last layers were taught the expression of `sections`."""
    folder = bench.own / "fine_tuned" / f"{'+'.join(sections)}-{seed}"
    if not (folder / "config.json").is_file():
        taught = [
            (
                bench.section(name).filtered,
                embedded(bench, "spafoundation", name, seed),
                spot_tiles(bench.section(name)),
            )
            for name in sections
        ]
        finetune_expression(
            taught,
            pretrained(bench, TEACHING_SLIDES, seed),
            folder,
            checkpoints=folder.with_name(f"{folder.name}-checkpoints"),
            seed=seed,
            schedule=_shortened(SCHEDULE, bench.steps) if bench.steps else SCHEDULE,
        )
    return folder


def untrained(bench: Bench, slides: Sequence[str], seed: int) -> Path:
    """Model folder of the same shape, pooling and standardisation with weights as they are drawn."""
    folder = bench.own / "pretrained" / f"untrained-{seed}"
    if folder.is_dir():
        return folder
    preset = PRESETS[bench.preset]
    mean, sd = _colour([teaching_tiles(bench.section(name)) for name in slides])
    with torch.random.fork_rng():
        torch.manual_seed(1000 + seed)
        backbone = build_backbone(preset.architecture)
    config = {
        **vit_config(preset.architecture).to_diff_dict(),
        "kind": "spafoundation",
        "preset": f"{bench.preset}, untrained",
        "architecture": preset.architecture.as_dict(),
        "mean": mean,
        "sd": sd,
        "pooling": preset.pooling,
        "looks": preset.looks,
    }
    curve = Curve(seed=seed, device="cpu", precision="32-true")
    curve.add(step=0, train_loss=0.0, valid_loss=0.0, learning_rate=0.0, seconds=0.0)
    with atomic(folder) as partial:
        partial.mkdir()
        save_model(partial, backbone.state_dict(), config, "Untrained.", curve)
    return folder


def _colour(paths: list[Path]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the channels, in 0 to 1, of tiles spread over the slides."""
    stores = [TileStore(path) for path in paths]
    pixels = [store.pixels(np.linspace(0, len(store) - 1, 64).astype(int)) for store in stores]
    values = np.concatenate([part.reshape(-1, 3) for part in pixels]) / 255
    return values.mean(axis=0).tolist(), values.std(axis=0).tolist()
