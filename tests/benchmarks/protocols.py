"""The tests: which problems, which methods, and what is scored; everything a method answers comes from `Bench`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

from benchmarks import methods, problems, scoring, shifts, simulated, sparank_rows
from benchmarks.problems import Atlas, Problem
from tissuemake.contracts import UNKNOWN
from tissuemake.simulate.tissue import stream

RESIDUAL = "nnls_residual"
UNTRAINED = (*methods.TRIVIAL, *methods.LEAST_SQUARES)
LEARNED = sparank_rows.VARIANTS
# What a user gets, and the same on log-CP10k instead of ranks.
TWINS = ("sparank", "sparank_log")
# Where a model was trained, in the test `transfer`.
ELSEWHERE, THERE, SHOWN = "trained elsewhere", "trained there", "trained elsewhere, shown that atlas"


@dataclass
class Bench:
    """Folders, and the one way to ask a method; seconds of its answers add up in `seconds`.

    `epochs` are those of cell2location; 0: it is not asked.
    """

    data: Path
    work: Path
    epochs: int = 0
    seconds: float = 0.0
    memory: float = float("nan")
    trainer: sparank_rows.Trainer = field(default_factory=sparank_rows.Trainer)

    def ask(self, method: str, problem: Problem, seed: int, trained_on: Atlas | None = None) -> pd.DataFrame:
        """Shares (spots, types) of `method`.

        Parameters
        ----------
        trained_on
            The atlas a model was pretrained on; None: the problem's. With another one, the problem's atlas is
            what the model is shown when it is applied.
        """
        if method in methods.PEERS:
            options = {"EPOCHS": self.epochs} if method == "cell2location" else {}
            shares = methods.peer(method, problem, seed, self.work, **options)
            self.seconds += shares.attrs["seconds"]
            self.memory = max(shares.attrs["peak_memory_mb"], np.nan_to_num(self.memory))
            return shares
        if method in sparank_rows.VARIANTS:
            model = self.trainer.model(method, trained_on or problem.atlas, seed, self.work)
            started = perf_counter()
            shares = self.trainer.predict(model, problem, shown=trained_on is not None)
        else:
            started = perf_counter()
            trivial = method in methods.TRIVIAL
            shares = (
                methods.trivial(method, problem) if trivial else methods.least_squares(method, problem, seed)
            )
        self.seconds += perf_counter() - started
        return shares


@dataclass(frozen=True)
class Score:
    """One number; `kind` says whether it was held against a truth or another method's estimate."""

    problem: str
    metric: str
    value: float
    kind: str = "truth"


Scorer = Callable[[Bench, str, int], Iterator[Score]]


@dataclass(frozen=True)
class Test:
    """A line of the issue's table: how it is scored, and by which methods.

    `peers`: which of Tangram and cell2location take part (first seed only: minutes to hours each).
    """

    score: Scorer
    methods: tuple[str, ...]
    peers: tuple[str, ...] = ()


def _accuracies(problem: Problem, answer: pd.DataFrame) -> Iterator[Score]:
    for metric, value in scoring.accuracy(problem, answer):
        yield Score(problem.name, metric, value, problem.kind)
    share = answer.get(UNKNOWN)
    if problem.absent and share is not None:
        for metric, value in scoring.detection(problem, share):
            yield Score(problem.name, metric, value, problem.kind)


@cache
def _starmap(name: str, data: Path, work: Path) -> Problem:
    return problems.starmap(name, data, work)


@cache
def _her2st(name: str, data: Path, work: Path) -> Problem:
    return problems.her2st(name, data, work)


def starmap(bench: Bench, method: str, seed: int) -> Iterator[Score]:
    """Counted cells of STARmap section 1: cells of another section as atlas, and an atlas of another platform."""
    for name in problems.STARMAP:
        problem = _starmap(name, bench.data, bench.work)
        yield from _accuracies(problem, bench.ask(method, problem, seed))


def her2st(bench: Bench, method: str, seed: int) -> Iterator[Score]:
    """Agreement with stereoscope's published estimates, with an atlas of another donor and subtype."""
    for name in problems.HER2ST:
        problem = _her2st(name, bench.data, bench.work)
        yield from _accuracies(problem, bench.ask(method, problem, seed))


def four_cells(bench: Bench, method: str, seed: int) -> Iterator[Score]:
    """Balanced and skewed composition, with and without a shift by gene; donors the atlas has not seen."""
    for problem in simulated.four_cells(seed, bench.work):
        yield from _accuracies(problem, bench.ask(method, problem, seed))


def transfer(bench: Bench, method: str, seed: int) -> Iterator[Score]:
    """Another tissue: trained (or fitted) on the first tissue's atlas, against on that tissue's own."""
    away, home = shifts.transfer(seed, bench.work)
    answers = {ELSEWHERE: bench.ask(method, away, seed), THERE: bench.ask(method, home, seed)}
    if method in sparank_rows.ANY_REFERENCE:
        answers[SHOWN] = bench.ask(method, home, seed, trained_on=away.atlas)
    scores = {where: dict(scoring.accuracy(home, answer)) for where, answer in answers.items()}
    for where, found in scores.items():
        for metric in ("r", "RMSE"):
            yield Score(where, metric, found[metric])
        if where != THERE:
            yield Score(f"{where} / {THERE}", "ratio", found["r"] / scores[THERE]["r"])


def intervals(bench: Bench, method: str, seed: int) -> Iterator[Score]:
    """Coverage of 90 % intervals on donors and platforms that the atlas has not seen."""
    for problem in simulated.four_cells(seed, bench.work):
        for metric, value in scoring.coverage(problem, bench.ask(method, problem, seed)):
            yield Score(problem.name, metric, value)


def unknown(bench: Bench, method: str, seed: int) -> Iterator[Score]:
    """Spots with and without a type that the atlas lacks; for the query head also the type's signatures, shown late."""
    for problem, shift in zip(shifts.unknown(seed, bench.work), simulated.SHIFTS, strict=True):
        name = f"shift {shift:g}"
        if method == RESIDUAL:
            share = methods.residual(problem)
        else:
            share = bench.ask(method, problem, seed).get(UNKNOWN)
        if share is not None:
            for metric, value in scoring.detection(problem, share):
                yield Score(name, metric, value)


def new_types(bench: Bench, method: str, seed: int) -> Iterator[Score]:
    """A type that was not there in pretraining, with its cells in the atlas that the method is now given.

    Least squares and a fixed head are fitted to that atlas; a head for any reference is also only shown it.
    """
    whole = simulated.source_atlas(seed, bench.work)
    for problem, shift in zip(shifts.unknown(seed, bench.work), simulated.SHIFTS, strict=True):
        asked = problem.with_atlas(whole)
        answers = {f"shift {shift:g}": bench.ask(method, asked, seed)}
        if method in sparank_rows.ANY_REFERENCE:
            late = bench.ask(method, asked, seed, trained_on=problem.atlas)
            answers[f"shift {shift:g}, trained without it"] = late
        for name, answer in answers.items():
            each = asked.correlations(answer)
            yield Score(name, "r of new types", float(each[problem.absent].mean()))
            yield Score(name, "r", float(each.mean()))


def panel(bench: Bench, method: str, seed: int) -> Iterator[Score]:
    """Few genes measured, the same for all methods; no retraining."""
    wholes = [simulated.four_cells(seed, bench.work)[0], _starmap("starmap-section2", bench.data, bench.work)]
    for whole in wholes:
        full = whole.correlations(bench.ask(method, whole, seed)).mean()
        yield Score(f"{whole.name}, all genes", "r", float(full), whole.kind)
        for size in shifts.PANEL_SIZES:
            small = shifts.panel(whole, size, stream(seed, f"panel {size}"))
            r = small.correlations(bench.ask(method, small, seed)).mean()
            yield Score(small.name, "r", float(r), whole.kind)
            yield Score(small.name, "ratio", float(r / full), whole.kind)


TESTS: dict[str, Test] = {
    # cell2location takes hours where spots and genes are many, Tangram two minutes a problem.
    "starmap": Test(starmap, (*UNTRAINED, *LEARNED), peers=methods.PEERS),
    "her2st": Test(her2st, (*UNTRAINED, *LEARNED), peers=("tangram",)),
    "simulated": Test(four_cells, (*UNTRAINED, *LEARNED), peers=("tangram",)),
    "transfer": Test(transfer, (*methods.LEAST_SQUARES, *TWINS), peers=("tangram",)),
    "intervals": Test(intervals, LEARNED),
    "unknown": Test(unknown, (RESIDUAL, *TWINS)),
    "new_types": Test(new_types, (*methods.LEAST_SQUARES, "sparank", sparank_rows.OTHER)),
    "panel": Test(panel, (*methods.LEAST_SQUARES, *LEARNED)),
}
