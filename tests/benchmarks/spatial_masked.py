"""Hidden genes of a spot: a part of them (``masked genes``), or all that it has (``masked spots``).

Baselines stand beside the network. The network is asked again with its neighbours shuffled, and with each spot's
coordinates turned about the section by an angle of its own: a score that does not fall then was not spatial.
"""

from collections.abc import Iterator

from benchmarks import spatial_baselines as baselines
from benchmarks import spatial_network as network
from benchmarks.score_rows import Cost, Row, costing, rows
from benchmarks.spatial_questions import Question, ask
from benchmarks.spatial_sections import HELD_OUT_SECTIONS, Problem

GENES, SPOTS = "masked genes", "masked spots"
TESTS = (GENES, SPOTS)
CEILING = "noise ceiling"


def parts(test: str) -> Iterator[tuple[Problem, str]]:
    """Every problem with every method, in the order of the table."""
    methods = [*baselines.methods(all_hidden=test == SPOTS), *network.ASKED, CEILING]
    for problem in HELD_OUT_SECTIONS:
        for method in methods:
            yield problem, method


def score(bench: network.Bench, test: str, problem: Problem, method: str, seed: int) -> Iterator[Row]:
    """Rows of one method on one problem."""
    question = ask(problem, seed, bench.data, bench.work)
    if method == CEILING:
        yield from rows(
            test, problem.name, method, seed, question.ceilings(), Cost(float("nan"), float("nan"))
        )
        return
    said, cost = _answer(bench, question, method, centre=test == GENES)
    yield from rows(test, problem.name, method, seed, question.scores(said), cost)


def _answer(bench: network.Bench, question: Question, method: str, centre: bool):
    if method in network.ASKED:
        return network.answer(bench, question, method, centre=centre)
    with costing() as cost:
        said = baselines.answer(question, method)
    return said, cost
