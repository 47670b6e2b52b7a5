"""What is hidden, from whom, and that baselines see no hidden value of the spot they are asked about."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks import spatial_questions as questions
from benchmarks.spatial_baselines import OWN, SIMPLE, answer, between, centred, methods, ridge_weights
from benchmarks.spatial_network import predicted
from benchmarks.spatial_questions import Question, Slide
from benchmarks.spatial_sections import HELD_OUT_SECTIONS, Problem
from tissuemake.evaluation.expression_metrics import gene_correlations


def slide(seed: int, genes: int = 40, side: int = 14) -> Slide:
    """A square section in which the first half of the genes rises to the right and the others fall."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    slope = np.where(np.arange(genes) % 2, 1.0, -1.0) * 1.5
    rate = np.exp(1.5 + slope * (x.ravel()[:, None] / side - 0.5))
    counts = sp.csr_matrix(rng.poisson(rate).astype(np.float32))
    total = np.asarray(counts.sum(axis=1)).ravel()
    values = np.log1p(counts.toarray() / total[:, None] * 1e4).astype(np.float32)
    positions = np.column_stack([x.ravel(), y.ravel()]) * 200.0
    return Slide(f"s{seed}", None, values, counts, total, positions, "square")


@pytest.fixture
def question() -> Question:
    hidden = np.arange(40) % 3 == 0
    ceilings = np.full((1, int(hidden.sum())), 0.8)
    scored = np.flatnonzero(hidden)
    names = [f"G{i}" for i in range(40)]
    unseen = frozenset(names[i] for i in scored)
    problem = Problem("a -> b", ("s0",), ("s1",))
    return Question(problem, 0, names, hidden, scored, unseen, [slide(0)], [slide(1)], ceilings, ceilings / 2)


def test_no_section_that_teaches_is_asked_and_no_patient_stands_on_both_sides():
    assert len(HELD_OUT_SECTIONS) == 6
    for problem in HELD_OUT_SECTIONS:
        assert not set(problem.train) & set(problem.test)
        if problem.name.startswith("her2st"):
            assert not {name[0] for name in problem.train} & {name[0] for name in problem.test}


def test_own_genes_and_neighbours_find_a_gradient_and_the_mean_finds_nothing(question):
    for method in methods(all_hidden=False):
        score = question.scores(answer(question, method))
        if method == "section mean":
            assert score["r"] == 0
        elif method != "library size":
            assert score["r"] > 0.2, method
            assert score["over ceiling"] == pytest.approx(score["r"] / 0.8)
            assert score["depth-adjusted, over ceiling"] == pytest.approx(score["depth-adjusted r"] / 0.4)


def test_no_own_genes_method_sees_what_is_hidden_and_no_mean_sees_its_own_spot(question):
    asked = question.test[0]
    spoilt = asked.values.copy()
    spoilt[:, question.hidden] = 0
    counts = sp.csr_matrix(asked.counts.toarray() * ~question.hidden)
    other = replace(question, test=[replace(asked, values=spoilt, counts=counts)])
    for method in OWN:
        if "around" not in method and "residual" not in method:
            assert np.allclose(answer(question, method)[0], answer(other, method)[0]), method
    spoilt = asked.values.copy()
    spoilt[50] = 9
    other = replace(question, test=[replace(asked, values=spoilt)])
    for method in SIMPLE:
        assert np.allclose(answer(question, method)[0][50], answer(other, method)[0][50]), method


def test_when_all_of_the_centre_is_hidden_no_method_reads_own_genes():
    assert not [name for name in methods(all_hidden=True) if name.startswith("own")]


def test_means_are_over_the_spots_of_a_shell():
    positions = slide(0).positions
    first, second = between(positions, 0, 8), between(positions, 8, 24)
    middle = 7 * 14 + 7
    assert first[middle].nnz == 8 and second[middle].nnz == 16
    assert first[middle, middle] == 0 and not first[middle].multiply(second[middle]).nnz
    assert first[middle].sum() == pytest.approx(1)
    island = np.vstack([positions, [[1e6, 1e6]]])
    assert between(island, 0, 8)[len(positions)].nnz == 0


def test_the_penalty_is_that_of_leave_one_out():
    from sklearn.linear_model import RidgeCV

    rng = np.random.default_rng(0)
    inputs = centred(rng.normal(size=(60, 12)))
    target = centred(inputs[:, :3] @ rng.normal(size=(3, 5)) + 3 * rng.normal(size=(60, 5)))
    penalties = np.array([0.1, 1.0, 10.0, 100.0, 1000.0])
    known = RidgeCV(alphas=penalties, fit_intercept=False).fit(inputs, target)
    assert np.allclose(ridge_weights(inputs, target, penalties), known.coef_.T)
    assert 0.1 < known.alpha_ < 1000


def test_scores_are_medians_over_genes_and_means_over_sections(question):
    truth = question.test[0].values[:, question.scored]
    r = gene_correlations(answer(question, "mean of one ring")[0], truth)
    twice = replace(
        question,
        test=question.test * 2,
        plain_ceilings=np.tile(question.plain_ceilings, (2, 1)),
        adjusted_ceilings=np.tile(question.adjusted_ceilings, (2, 1)),
    )
    said = answer(question, "mean of one ring")[0]
    assert question.scores([said])["r"] == pytest.approx(np.nanmedian(r))
    assert twice.scores([said, truth])["r"] == pytest.approx((np.nanmedian(r) + 1) / 2)
    deep = answer(question, "library size")[0] * 3 + said
    assert (
        0
        < question.scores([deep])["depth-adjusted r"]
        < question.scores([deep])["depth-adjusted r, both"] - 0.01
    )


def test_a_seed_hides_three_tenths_and_others_hide_other_genes(question, monkeypatch, tmp_path):
    shared = [f"G{i}" for i in range(60)]
    ceilings = (np.ones((1, 40)), np.ones((1, 40)))
    read = (question.genes, question.train, question.test, ceilings, shared)
    monkeypatch.setattr(questions, "_read", lambda *given: read)
    one, same, other = (questions.ask(question.problem, seed, tmp_path, tmp_path) for seed in (0, 0, 1))
    assert len(one.scored) == 12 and len(one.unseen) == 18
    assert one.unseen == same.unseen != other.unseen
    assert set(np.array(one.genes)[one.scored]) <= one.unseen
    assert (one.hidden == [gene in one.unseen for gene in one.genes]).all()


class Model:
    """Says of every gene its place in the vocabulary, and nothing but 9 of what is not hidden."""

    genes = ("A", "B", "C")

    def predict(self, section, hidden, *, genes, centre=True):
        whole = np.where(hidden, np.arange(3.0), 9.0) if centre else np.full(3, -1.0)
        return np.tile(whole[genes], (len(section), 1))


def test_a_gene_outside_the_vocabulary_is_said_to_be_constant():
    said = predicted(Model(), range(4), {"B", "C", "Z"}, ["C", "Z", "B"])
    assert np.allclose(said, [[2, 0, 1]] * 4)
    assert np.allclose(predicted(Model(), range(4), {"B"}, ["B", "Z"], centre=False), [[-1, 0]] * 4)
