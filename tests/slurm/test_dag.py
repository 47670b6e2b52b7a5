"""Planning stays near what Snakemake itself costs; profiles/README.md has the table up to large cohorts."""

import pytest

from slurm.dag_scale import measure

pytestmark = pytest.mark.workflow


def test_input_functions_cost_less_than_planning_itself():
    row = measure(20)
    assert row["jobs"] == 20 * 13
    assert row["ratio"] < 2
