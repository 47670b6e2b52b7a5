"""The model's rows: one training for each atlas, seed and way of encoding, kept in a folder; then answers."""

from pathlib import Path

import pandas as pd

import tissuemake
from benchmarks.problems import Problem

# What a user gets; its twin on log-CP10k; its head that is shown signatures.
VARIANTS = ("sparank", "sparank_log", "sparank_query")
MAIN = ("sparank", "sparank_query")
ANY_REFERENCE = ("sparank_query",)
PACKAGE = Path(tissuemake.__file__).parent


class Trainer:
    """Trains on demand."""

    def model(self, variant: str, atlas, seed: int, work: Path) -> Path:
        """Folder of the trained model."""
        raise NotImplementedError

    def predict(self, variant: str, model: Path, problem: Problem) -> pd.DataFrame:
        """Shares with ``unknown`` and ``_sd`` columns."""
        raise NotImplementedError


def available() -> str:
    """Empty, or why the model's rows cannot be made."""
    return "" if (PACKAGE / "models" / "sparank" / "train.py").is_file() else "models/sparank is not there"


def speed_options(method, atlas, work):
    return {}


CODE = []
