"""Fixtures shared by all rooms."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The shared real data sets; skipped visibly when TISSUEMAKE_DATA is not set."""
    folder = os.environ.get("TISSUEMAKE_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("TISSUEMAKE_DATA is not set to a folder of real data sets")
    return Path(folder)
