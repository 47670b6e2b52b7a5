"""A toy sample and its page, shared by the tests of this room."""

from pathlib import Path

import pytest

from reporting.toy_tissue import SAMPLE, Toy


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The toy sample with a picture under it."""
    return Toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def toy_page(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy sample's report."""
    from tissuemake.reporting.sample_page import report_sample

    output = tmp_path_factory.mktemp("page") / "samples" / SAMPLE / "report.html"
    report_sample(SAMPLE, **toy.report_inputs(), output=output)
    return output
