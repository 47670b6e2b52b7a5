"""How fast the model trains, step by step, beside the rate of the matrix units that it could at best reach.

All rates are by the second of a processor, not of the clock, which a busy machine stretches.
"""

from time import process_time

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.problems import Atlas
from tissuemake.models.sparank.architecture import Preset
from tissuemake.models.sparank.atlas import choose_genes, part, split_donors
from tissuemake.models.sparank.lessons import Lesson, Lessons
from tissuemake.models.sparank.model import SpaRank
from tissuemake.models.sparank.train import Tutor
from tissuemake.reference.mixtures import Mixtures

WARM, TIMED = 3, 15


def training_rate(atlas: Atlas, preset: Preset) -> dict[str, float]:
    """Spots per second of training with the simulator, without it and of it alone; operations of a step per spot.

    In single precision, as training on a CPU is. Operations are those of matrix products and attention, forwards and
    backwards, least squares of the section included.
    """
    cells = atlas.cells
    types = sorted(cells.obs["cell_type"].astype(str).unique())
    training = cells[split_donors(cells, 0)[0]]
    taught = part(training, choose_genes(cells, atlas.markers, preset.genes), types, training)
    lessons = Lessons(Mixtures(taught.cells), taught.reference, preset.spots)
    tutor = Tutor(SpaRank(preset.architecture, *taught.reference.signature.shape))
    optimizer = torch.optim.AdamW(tutor.parameters(), lr=1e-3)
    generator = torch.Generator()

    def step(number: int) -> None:
        learn(lessons(number, generator.manual_seed(number)))

    def learn(lesson: Lesson) -> None:
        tutor.training_step(lesson, 0).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def simulate(number: int) -> None:
        lessons(number, generator.manual_seed(number))

    made = [lessons(number, generator.manual_seed(number)) for number in range(max(WARM, TIMED))]

    with FlopCounterMode(display=False) as counter:
        for number in range(WARM):
            step(number)
    return {
        "spots/s": preset.spots / _seconds(step),
        "spots/s, simulator off": preset.spots / _seconds(lambda number: learn(made[number])),
        "spots/s, simulator alone": preset.spots / _seconds(simulate),
        "MFLOP per spot": counter.get_total_flops() / WARM / preset.spots / 1e6,
    }


def _seconds(work) -> float:
    """Of one call, after warming up."""
    for number in range(WARM):
        work(number)
    started = process_time()
    for number in range(TIMED):
        work(number)
    return (process_time() - started) / TIMED


def matmul_rate(size: int, kind: str, least_seconds: float = 1.0) -> float:
    """GFLOP/s and processor of a square product; `kind` is ``fp32`` or ``bf16``."""
    left = torch.randn(size, size, dtype={"fp32": torch.float32, "bf16": torch.bfloat16}[kind])
    right = left.clone()
    for _ in range(3):
        left @ right
    done, started = 0, process_time()
    while process_time() - started < least_seconds:
        left @ right
        done += 1
    return 2 * size**3 * done / (process_time() - started) / 1e9
