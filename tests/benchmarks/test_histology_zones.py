"""Domains beside planted zones: who is right, who has the same number of domains, and who knows nothing."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.histology_rows import BLOCKS, ONE_DOMAIN
from benchmarks.histology_zones import RESOLUTION, same_number, scores

SPOTS = 120


@pytest.fixture
def planted():
    """Three zones in stripes, domains by resolution: ``spatial`` is right, ``color`` right only where it is finer."""
    rng = np.random.default_rng(0)
    zones = np.repeat(["a", "b", "c"], SPOTS // 3)
    merged = np.where(zones == "b", "a", zones)
    noise = rng.integers(0, 3, SPOTS).astype(str)
    coarse = pd.DataFrame({"spatial": merged, "color": merged, "untrained": np.full(SPOTS, "1")})
    shipped = pd.DataFrame({"spatial": zones, "color": merged, "untrained": noise})
    fine = pd.DataFrame({"spatial": np.arange(SPOTS).astype(str), "color": zones, "untrained": noise})
    positions = np.column_stack([rng.uniform(size=SPOTS), rng.uniform(size=SPOTS)])
    return {RESOLUTION: shipped, RESOLUTION / 2: coarse, 2 * RESOLUTION: fine}, pd.Series(zones), positions


def test_rows_are_compared_with_as_many_domains_as_expression_has(planted):
    found = scores(*planted, seed=0)
    assert found["spatial"]["ARI"] == found["color"]["ARI"] == pytest.approx(1)
    assert found["color"]["NMI"] == pytest.approx(1)
    assert found["color"]["ARI as shipped"] < 0.7 and found["color"]["NMI as shipped"] < 0.9
    assert abs(found["untrained"]["ARI"]) < 0.1


def test_answers_that_know_nothing_score_nothing(planted):
    found = scores(*planted, seed=0)
    assert found[ONE_DOMAIN] == dict.fromkeys(found[ONE_DOMAIN], 0.0)
    assert abs(found[BLOCKS]["ARI"]) < 0.1
    domains, zones, _ = planted
    stripes = np.column_stack([zones.map({"a": 0.0, "b": 5.0, "c": 9.0}), np.linspace(0, 0.1, SPOTS)])
    assert scores(domains, zones, stripes, seed=0)[BLOCKS]["ARI"] == pytest.approx(1)


def test_of_resolutions_with_the_same_number_the_one_nearest_to_the_shipped_is_taken(planted):
    domains = planted[0]
    other = pd.DataFrame({"color": np.arange(SPOTS) % 3})
    assert same_number({**domains, 9 * RESOLUTION: other}, "color", 3).equals(
        domains[2 * RESOLUTION]["color"]
    )
    assert same_number({**domains, 1.5 * RESOLUTION: other}, "color", 3).equals(other["color"])
    # None has four: three is nearest.
    assert same_number(domains, "color", 4).nunique() == 3
