"""Control charts: limits that the outliers they should find do not move, and that few samples do not narrow."""

import numpy as np
import pandas as pd
import pytest

from reporting.made_up_cohort import made_up_quality
from tissuemake.reporting.control_charts import MEASURES, control_charts, draw_limits, flags_of
from tissuemake.reporting.control_figures import drawn
from tissuemake.reporting.quality_table import as_table

COUNTS = next(measure for measure in MEASURES if measure.column == "median_counts")
DROPPED = next(measure for measure in MEASURES if measure.column == "pct_dropped")


def chart(charts, column="median_counts"):
    return next(one for one in charts["visium"] if one.measure.column == column)


@pytest.fixture
def even():
    """Twelve samples with nothing to see."""
    return as_table([row for row in made_up_quality(13, 5) if row["status"] == "pass"][:12])


@pytest.mark.parametrize("n", [8, 12, 30, 300])
def test_one_normal_value_in_370_stands_outside_however_many_there_are(n):
    rng = np.random.default_rng(0)
    outside = []
    for _ in range(12000 // n):
        values = 10 ** rng.normal(3, 0.1, n)
        _, low, high = draw_limits(values, COUNTS)
        outside.append(np.mean((values < low) | (values > high)))
    assert 0.0005 < np.mean(outside) < 0.006


def test_outliers_do_not_move_the_limits():
    values = 10 ** np.random.default_rng(0).normal(3.5, 0.1, 20)
    spoilt = values.copy()
    spoilt[:4] = 3.0
    clean, found = draw_limits(values, COUNTS), draw_limits(spoilt, COUNTS)
    assert found[1] > 0.4 * clean[1] > 100
    # The mean and the standard deviation would have let all four through.
    logs = np.log10(spoilt)
    assert 10 ** (logs.mean() - 3 * logs.std()) < 3.0 < found[1]


def test_shares_have_no_lower_limit_and_end_at_all():
    _, low, high = draw_limits(np.array([40.0, 45, 50, 55, 60, 62, 70, 90]), DROPPED)
    assert low == 0.0 and 90 < high <= 100
    assert draw_limits(np.linspace(50, 52, 40), DROPPED)[1] == 0.0
    _, low, high = draw_limits(np.zeros(10), DROPPED)
    assert 0 < high < 1


def test_seven_samples_are_too_few_to_say_what_is_usual(even):
    few = chart(control_charts(even[:7], as_table([])))
    assert few.centre is None and few.flags == [] and few.judged_by == 7
    assert chart(control_charts(even[:8], as_table([]))).centre is not None


def test_a_shallow_sample_is_flagged_in_words(even):
    even.loc[3, "median_counts"] = 40.0
    flags = flags_of(control_charts(even, as_table([])))
    assert list(flags) == [even["sample"][3]]
    assert flags[even["sample"][3]][0].said.startswith("counts 40, below ")


def test_a_bad_run_is_judged_by_the_history_once_that_is_long(even):
    even["median_counts"] /= 30
    assert flags_of(control_charts(even, as_table([]))) == {}
    past = as_table([row for row in made_up_quality(40, 6, prefix="H") if row["status"] == "pass"])
    found = control_charts(even, past)
    assert set(flags_of(found)) == set(even["sample"])
    assert chart(found).judged_by == len(past) and chart(found).earlier.sum() == len(past)
    assert chart(found).drift == "the latest 9 all stand below the centre"
    # Nineteen are too few to stand alone, and what is of this assay counts only.
    assert chart(control_charts(even, past[:19])).judged_by == 19 + len(even)
    assert chart(control_charts(even, past.assign(group="xenium"))).judged_by == len(even)


def test_what_stands_in_the_history_as_well_counts_once(even):
    assert len(chart(control_charts(even, even)).values) == len(even)
    renamed = even.assign(sample="other " + even["sample"])
    assert len(chart(control_charts(even, renamed)).values) == len(even)
    again = even.assign(fingerprint="sequenced again")
    assert len(chart(control_charts(even, again)).values) == 2 * len(even)


def test_samples_stand_by_the_start_of_their_runs_where_all_state_it(even):
    starts = [f"2026-01-{20 - i:02d}" for i in range(len(even))]
    assert (
        chart(control_charts(even.assign(run_start=starts), as_table([]))).samples
        == list(even["sample"])[::-1]
    )
    starts[0] = ""
    assert chart(control_charts(even.assign(run_start=starts), as_table([]))).samples == list(even["sample"])


def test_figures_mark_what_is_outside_and_escape_names(even):
    even.loc[2, ["sample", "median_counts"]] = ["<b>x</b>", 1.0]
    part = drawn("visium", control_charts(even, as_table([]))["visium"])
    figure = str(part["parts"][0]["figure"])
    assert figure.count('class="dots-outside"') == 1 and figure.count('class="dots-here"') == 11
    assert "<b>" not in figure and "&lt;b&gt;x" in figure


def test_failed_samples_and_measures_that_nobody_has_make_no_chart(even):
    even["median_genes"] = np.nan
    failed = even[:1].assign(
        sample="f", status="fail", **dict.fromkeys([m.column for m in MEASURES], np.nan), kept=np.nan
    )
    charts = control_charts(pd.concat([even, failed], ignore_index=True), as_table([]))
    assert {one.measure.column for one in charts["visium"]} == {
        "median_counts",
        "in_tissue",
        "pct_dropped",
        "pct_mt",
    }
    assert all("f" not in one.samples for one in charts["visium"])
