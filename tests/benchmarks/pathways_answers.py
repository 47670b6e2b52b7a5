"""Who answers in the pathway benchmark: baselines, ridges on image features, and quadflow with a part taken away."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.histology_sections import Problem
from benchmarks.kept_run import Bench
from benchmarks.kept_tables import once
from benchmarks.pathways_data import (
    COLOR,
    DEFAULT,
    HISTOGRAM,
    embedded,
    gene_sets,
    measured,
    prepared,
    scores_of,
    slide,
)
from benchmarks.score_rows import Cost, costing
from tissuemake.models.histology_heads.ridge import Recipe, Section, describe, fit_head

MEAN, POSITION, LIBRARY = "section mean", "position", "library size"
HISTOGRAM_RIDGE, RIDGE, WIDE_RIDGE = "colour histogram + ridge", "ridge", "ridge, neighbours too"
BASELINES = (MEAN, POSITION, LIBRARY, HISTOGRAM_RIDGE, RIDGE, WIDE_RIDGE)
# Without chance in them; in a ridge it is which blocks choose the penalty.
CERTAIN = (MEAN, LIBRARY)
QUADFLOW = "quadflow"
# Features relative to their slide, own tile alone; or with the mean of eight neighbours, as quadflow sees them.
OWN = Recipe(ring=0, rank=0, depth_share=1.0)
AROUND = replace(OWN, ring=8)


def ridge(taught: Sequence[Section], asked: Section, recipe: Recipe, seed: int) -> np.ndarray:
    """What a ridge of `taught` says of `asked` (spots, k); the penalty is chosen on blocks of `taught`."""
    head = fit_head(taught, recipe, seed=seed)
    seen = (describe(asked.features, asked.positions, recipe) - head.mean) / head.scale
    return seen @ head.weights + head.level


def by_baseline(taught: Sequence[Section], asked: Section, method: str, seed: int) -> np.ndarray:
    """What a baseline says (spots, k); `features` are those of the encoder that it reads."""
    level = np.mean([part.values.mean(axis=0) for part in taught], axis=0)
    if method == MEAN:
        return np.tile(level, (len(asked.values), 1))
    if method == LIBRARY:
        # Slopes are those of the teaching sections; the depth is that of the asked one, which no image tells.
        slopes = [_slope(np.log(part.total_counts), part.values) for part in taught]
        return level + np.log(asked.total_counts)[:, None] * np.mean(slopes, axis=0)
    if method == POSITION:
        taught = [replace(part, features=_cubic(part.positions)) for part in taught]
        asked = replace(asked, features=_cubic(asked.positions))
    return ridge(taught, asked, AROUND if method == WIDE_RIDGE else OWN, seed)


def _slope(depth: np.ndarray, values: np.ndarray) -> np.ndarray:
    centred = depth - depth.mean()
    return centred @ values / np.square(centred).sum()


def _cubic(positions: np.ndarray) -> np.ndarray:
    """Powers (spots, 9) of the place within its section, up to the third."""
    x, y = ((positions - positions.mean(axis=0)) / positions.std(axis=0)).T
    return np.column_stack([x**i * y**j for i in range(4) for j in range(4 - i) if i + j])


def baseline_answer(
    bench: Bench, problem: Problem, depth: str, method: str, seed: int
) -> tuple[pd.DataFrame, Cost]:
    """Pathways (spots, pathways) of the asked section by a baseline, and what that took."""
    encoder = HISTOGRAM if method == HISTOGRAM_RIDGE else COLOR
    slides = [
        slide(bench, name, encoder, scores_of(bench, problem, name, depth))
        for name in (*problem.train, problem.test)
    ]
    *taught, asked = slides
    with costing() as cost:
        said = by_baseline([part.section for part in taught], asked.section, method, seed)
    columns = scores_of(bench, problem, problem.test, depth).columns
    return pd.DataFrame(said, index=asked.barcodes, columns=columns), cost


def _without_flow(name: str) -> Callable:
    def change(preset):
        flows = replace(preset.architecture.flows, **{name: False})
        return replace(preset, architecture=replace(preset.architecture, flows=flows))

    return change


def _without_loss(name: str) -> Callable:
    return lambda preset: replace(preset, weights=replace(preset.weights, **{name: 0.0}))


def _without_free(preset):
    return replace(preset, architecture=replace(preset.architecture, free=0))


# What is taken away from the preset, by the name of the row.
WITHOUT: dict[str, Callable] = {
    "P-P off": _without_flow("pathways_to_pathways"),
    "P-H off": _without_flow("pathways_read_patches"),
    "H-P off": _without_flow("patches_read_pathways"),
    "H-H off": _without_flow("patches_to_patches"),
    "bottleneck off": _without_loss("genes"),
    "free residual off": _without_free,
    "smoothing off": _without_loss("smoothness"),
    "PCC loss off": _without_loss("correlation"),
}


def taught(bench: Bench, problem: Problem, depth: str, method: str, seed: int) -> tuple[Path, Cost]:
    """The model that learnt from the problem's teaching sections, and what that took; taught once for all that ask."""
    name = f"{'+'.join(problem.train)} {depth} {method} {seed}".replace(" ", "-").replace(",", "")
    folder = bench.own / "models" / name

    def make() -> None:
        from tissuemake.models.quadflow.pretrain import pretrain_quadflow

        pretrain_quadflow(
            [prepared(bench, section).filtered for section in problem.train],
            [embedded(bench, section, COLOR) for section in problem.train],
            [measured(bench, problem, section, depth) for section in problem.train],
            gene_sets(bench, problem),
            folder,
            preset=bench.preset,
            seed=seed,
            checkpoints=bench.own / "checkpoints" / name,
            custom=_preset(bench, method),
        )

    return folder, once(folder, make)


def _preset(bench: Bench, method: str):
    """The preset with what `method` takes away, and fewer steps in a trial run."""
    from tissuemake.models.quadflow.architecture import PRESETS

    preset = PRESETS[bench.preset]
    part = method.removeprefix(QUADFLOW).removeprefix(", ")
    preset = WITHOUT[part](preset) if part else preset
    if not bench.steps:
        return preset
    every = min(bench.steps, preset.schedule.validate_every)
    return replace(preset, schedule=replace(preset.schedule, steps=bench.steps, validate_every=every))


def asked(
    bench: Bench, problem: Problem, method: str, seed: int, depth: str = DEFAULT
) -> tuple[Path, Path, Cost]:
    """Files of pathways and genes that the model says of the asked section from its H&E alone, and the whole cost."""
    from tissuemake.models.quadflow.predict import predict_pathways

    model, cost = taught(bench, problem, depth, method, seed)
    folder = bench.own / "answers" / model.name
    pathways, genes = folder / f"{problem.test}.parquet", folder / f"{problem.test}.h5ad"
    filtered = prepared(bench, problem.test).filtered

    def make() -> None:
        predict_pathways(embedded(bench, problem.test, COLOR), model, pathways, genes, filtered=filtered)

    return pathways, genes, once(folder / problem.test, make).and_before(cost)
