"""Tiles of kinds that differ, and a recipe that learns them in seconds."""

from pathlib import Path

import pandas as pd
import torch

from tissuemake.histology.tile_store import write_tiles
from tissuemake.models.schedule import Schedule
from tissuemake.models.spafoundation.architecture import Architecture, Distillation, Preset, Views

TOY = Preset(
    Architecture(width=32, layers=2, heads=2, patch=8, image_px=32, drop_path=0.1),
    Distillation(
        batch=16,
        prototypes=32,
        hidden=32,
        bottleneck=16,
        centring="sinkhorn",
        koleo=0.1,
        momentum=(0.9, 1.0),
        frozen=0.2,
    ),
    Schedule(steps=12, learning_rate=3e-3, clip=3.0, validate_every=4),
    tile_px=40,
    views=Views(local_views=2, local_px=16),
)


def kinds_of_tiles(count: int, seed: int) -> torch.Tensor:
    """Tiles of four kinds that differ in colour and in the size of their spots, uint8 (count, 3, 40, 40)."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.arange(count) % 4
    noise = torch.rand(count, 1, 40, 40, generator=generator)
    coarse = torch.nn.functional.interpolate(noise[:, :, ::8, ::8], size=(40, 40))
    grain = torch.where((kind % 2 == 0)[:, None, None, None], noise, coarse)
    tint = torch.tensor([[0.8, 0.5, 0.8], [0.5, 0.3, 0.7]])[kind // 2]
    return ((0.5 + 0.5 * grain) * tint[:, :, None, None] * 255).to(torch.uint8)


def write_slide(path: Path, count: int, seed: int, usable: bool | list[bool] = True) -> Path:
    """Write a tile file of `count` toy tiles."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame({"usable": usable}, index=[f"g0_{number}" for number in range(count)])
    write_tiles(path, table, kinds_of_tiles(count, seed).permute(0, 2, 3, 1).contiguous().numpy())
    return path
