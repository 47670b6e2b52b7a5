"""One small cluster for all tests that strike or fill it."""

from collections.abc import Iterator

import pytest

from slurm.cluster import Cluster, cluster, missing


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[Cluster]:
    """A cluster that is up; without one the test is skipped, and says why."""
    why = missing()
    if why:
        pytest.skip(f"no cluster: {why}")
    with cluster(tmp_path_factory.mktemp("cluster")) as up:
        yield up
