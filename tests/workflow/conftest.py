"""One run of the demo that all tests of whole DAGs share."""

from pathlib import Path

import pytest

from run_folder import make_run_folder, snakemake


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Path:
    """The demo of `make demo`, smaller, run once."""
    folder = make_run_folder(tmp_path_factory.mktemp("demo") / "run", pretrained=True)
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return folder
