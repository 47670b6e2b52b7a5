"""How fast the image encoder trains, tile by tile, beside the rate of the matrix units that it could at best reach.

``python tests/benchmarks/spafoundation.py`` prints one line per preset; ``--gpu`` runs on the first GPU, with bf16.
"""

import argparse
from dataclasses import replace
from time import perf_counter

import torch
from torch.utils.flop_counter import FlopCounterMode

from tissuemake.models.spafoundation.architecture import PRESETS, Preset
from tissuemake.models.spafoundation.train import Distiller, Lesson
from tissuemake.models.spafoundation.views import draw_views

WARM, TIMED = 2, 6


def training_rate(preset: Preset, device: str = "cpu", compiled: bool = False) -> dict[str, float]:
    """Tiles per second of training and of the views alone, and operations of a training step, per tile.

    Operations are those of matrix products, convolutions and attention, forwards and backwards.
    """
    torch.manual_seed(0)
    distiller = Distiller(preset, torch.full((3,), 0.7), torch.full((3,), 0.2)).to(device).train()
    distiller.schedule = preset.schedule
    judge = torch.compile(distiller._judge) if compiled else distiller._judge
    optimizer = torch.optim.AdamW(distiller.student.parameters(), lr=1e-4, fused=True)
    batch, edge = preset.distillation.batch, preset.tile_px
    pixels = torch.randint(256, (batch, 3, edge, edge), dtype=torch.uint8, device=device)

    def step(number: int) -> None:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            loss = judge(Lesson(pixels, number)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def views(number: int) -> None:
        generator = torch.Generator(device).manual_seed(number)
        draw_views(
            pixels, preset.architecture.image_px, preset.views, distiller.mean, distiller.sd, generator
        )

    with FlopCounterMode(display=False) as counter:
        step(0)
    return {
        "tiles/s": batch / _seconds(step, device),
        "tiles/s, views alone": batch / _seconds(views, device),
        "GFLOP per tile": counter.get_total_flops() / batch / 1e9,
    }


def matmul_rate(device: str, size: int, kind: torch.dtype) -> float:
    """GFLOP/s of a square product."""
    left = torch.randn(size, size, device=device).to(kind)
    return 2 * size**3 / _seconds(lambda _: left @ left, device) / 1e9


def _seconds(work, device: str) -> float:
    """Of one call, after warming up."""
    for number in range(WARM):
        work(number)
    _finish(device)
    started = perf_counter()
    for number in range(TIMED):
        work(number)
    _finish(device)
    return (perf_counter() - started) / TIMED


def _finish(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--presets", nargs="+", default=["tiny"], choices=PRESETS)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--compile", action="store_true")
    given = parser.parse_args()
    device = "cuda" if given.gpu else "cpu"
    bound = matmul_rate(device, 8192 if given.gpu else 1024, torch.bfloat16 if given.gpu else torch.float32)
    print(f"{device}, {torch.get_num_threads()} threads: products at {bound:.0f} GFLOP/s")
    for name in given.presets:
        preset = PRESETS[name]
        if given.batch:
            preset = replace(preset, distillation=replace(preset.distillation, batch=given.batch))
        rates = training_rate(preset, device, given.compile)
        share = rates["tiles/s"] * rates["GFLOP per tile"] / bound
        print(
            f"{name}: "
            + ", ".join(f"{key} {value:.4g}" for key, value in rates.items())
            + f", share {share:.0%}"
        )


if __name__ == "__main__":
    main()
