"""One prepared atlas and one model trained on it, for all tests of SpaRank."""

from pathlib import Path

import pytest
import torch

from models.sparank import tiny
from tissuemake.models.sparank.pretrain import pretrain_sparank


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Many small products: threads cost more than they bring, and another number moves the last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> tuple[Path, Path]:
    """reference.h5ad and markers.parquet of the toy atlas."""
    return tiny.prepare(tiny.atlas(), tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def tiny_model(prepared, tmp_path_factory) -> Path:
    """Folder of a model trained on the toy atlas with seed 0; read only."""
    folder = tmp_path_factory.mktemp("models") / "sparank-toy"
    pretrain_sparank(*prepared, folder, seed=0, checkpoints=folder.parent / "checkpoints", custom=tiny.PRESET)
    return folder
