"""A toy sample and its page, shared by the tests of this room."""

from pathlib import Path

import pytest

from reporting.browser import chromium, open_page
from reporting.toy_images import ImagedToy
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


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory):
    """A browser of its own for each file of tests."""
    with chromium(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
def page(driver, toy_page: Path):
    """The browser at the toy sample's report."""
    open_page(driver, toy_page)
    return driver


@pytest.fixture(scope="session")
def imaged(tmp_path_factory: pytest.TempPathFactory) -> ImagedToy:
    """The toy sample with what its image alone says."""
    return ImagedToy(tmp_path_factory.mktemp("imaged"))


@pytest.fixture(scope="session")
def imaged_page(imaged: ImagedToy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report."""
    from tissuemake.reporting.sample_page import report_sample

    output = tmp_path_factory.mktemp("imaged-page") / "report.html"
    report_sample(SAMPLE, **imaged.report_inputs(), output=output)
    return output
