"""One work folder for all tests here: the simulated atlas is prepared once."""

import pytest


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    """A folder as `--work` names it."""
    return tmp_path_factory.mktemp("work")
