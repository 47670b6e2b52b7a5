"""SAGE-FM and the published recipe in the spatial benchmarks: each trained once for a problem and a seed, and kept."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks.kept_run import Bench
from benchmarks.kept_tables import once
from benchmarks.score_rows import Cost, costing
from benchmarks.spatial_questions import Question
from benchmarks.spatial_sections import filtered
from tissuemake.contracts import FILTERED, read_anndata

SAGEFM, CLIQUE = "sagefm", "clique recipe"
GRAPHS = {SAGEFM: "rings", CLIQUE: "clique"}
SHUFFLED, TURNED = "sagefm, neighbours shuffled", "sagefm, coordinates turned"
# Asked with other neighbours than their own.
DISTURBED = (SHUFFLED, TURNED)
ASKED = (CLIQUE, SAGEFM, *DISTURBED)


def trained(bench: Bench, sections: Sequence[str], method: str, seed: int) -> tuple[Path, Cost]:
    """The model of the method that learnt from `sections`, and what that took; trained once."""
    paths = [filtered(name, bench.data, bench.work) for name in sections]
    return trained_on(bench, paths, "+".join(sections), method, seed)


def trained_on(bench: Bench, paths: list[Path], name: str, method: str, seed: int) -> tuple[Path, Cost]:
    """As `trained`, from files ``filtered.h5ad``; `name` stands for them."""
    folder = bench.own / "models" / f"{name} {GRAPHS[method]} {seed}".replace(" ", "-")

    def make() -> None:
        from tissuemake.models.sagefm.pretrain import pretrain_sagefm

        pretrain_sagefm(
            paths,
            folder,
            preset=bench.preset,
            graph=GRAPHS[method],
            seed=seed,
            checkpoints=bench.own / "checkpoints" / folder.name,
            custom=_shortened(bench),
        )

    return folder, once(folder, make)


def _shortened(bench: Bench):
    """The preset with fewer steps for a trial run; None: the preset as it is."""
    if not bench.steps:
        return None
    from tissuemake.models.sagefm.architecture import PRESETS

    preset = PRESETS[bench.preset]
    schedule = replace(
        preset.schedule, steps=bench.steps, validate_every=min(bench.steps, preset.schedule.validate_every)
    )
    return replace(preset, schedule=schedule)


def answer(bench: Bench, question: Question, method: str, *, centre: bool) -> tuple[list[np.ndarray], Cost]:
    """Predictions (spots, scored) of each asking section, and what teaching and asking took together."""
    teacher = CLIQUE if method == CLIQUE else SAGEFM
    folder, taught = trained(bench, question.problem.train, teacher, question.seed)
    with costing() as cost:
        model = loaded(folder)
        wanted = [question.genes[i] for i in question.scored]
        said = [
            predicted(
                model,
                section_of(model, slide.path, method, question.seed),
                question.unseen,
                wanted,
                centre=centre,
            )
            for slide in question.test
        ]
    return said, cost.and_before(taught)


@lru_cache(maxsize=2)
def loaded(folder: Path):
    """The model in `folder`."""
    from tissuemake.models.sagefm.encode import load_sagefm

    return load_sagefm(folder)


def section_of(model, path: Path, method: str, seed: int):
    """A section as the model sees it, with its own neighbours or as `method` disturbs them."""
    from tissuemake.models.sagefm.graph import shuffled, turned

    spots = read_anndata(path, FILTERED)
    section = model.read(spots, str(path))
    if method == SHUFFLED:
        return replace(section, neighbors=shuffled(section.neighbors, seed))
    return replace(section, neighbors=turned(spots, seed)) if method == TURNED else section


def predicted(model, section, unseen: Collection[str], wanted: Sequence[str], **asked: bool) -> np.ndarray:
    """What the model says of the genes `wanted` (spots, wanted), `unseen` hidden; `asked` as of ``predict``.

    A gene that the vocabulary lacks is said to be constant.
    """
    place = {gene: i for i, gene in enumerate(model.genes)}
    known = [i for i, gene in enumerate(wanted) if gene in place]
    said = np.zeros((len(section), len(wanted)))
    hidden = np.array([gene in unseen for gene in model.genes])
    columns = np.array([place[wanted[i]] for i in known])
    said[:, known] = model.predict(section, hidden, genes=columns, **asked)
    return said
