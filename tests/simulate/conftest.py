"""One small simulated tissue for all tests of the room."""

from pathlib import Path

import pytest

from tissuemake.simulate.vendor_folders import simulate_tissue

SMALL = {"seed": 3, "spots": 60, "n_genes": 600, "atlas_cells": 300}


@pytest.fixture(scope="session")
def tissue(tmp_path_factory) -> Path:
    """Vendor folders of a section under 60 spots."""
    output = tmp_path_factory.mktemp("tissue")
    simulate_tissue(output, **SMALL)
    return output
