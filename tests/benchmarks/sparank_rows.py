"""The model's rows: one training for each atlas, seed and kind of network, kept in a folder; then its answers.

Trainings and answers go through the functions behind the rules, so that the benchmark scores what a user gets.
"""

import logging
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from time import perf_counter

import anndata as ad
import pandas as pd

import tissuemake
from benchmarks.fingerprint import of_code
from benchmarks.problems import Atlas, Problem
from tissuemake.device import given_device
from tissuemake.files import remove
from tissuemake.models.sparank import deconvolve
from tissuemake.models.sparank.architecture import HEADS, PRESETS, Preset
from tissuemake.models.sparank.pretrain import pretrain_sparank

log = logging.getLogger("benchmark")
DEFAULT_HEAD = PRESETS["tiny"].architecture.head
OTHER_HEAD = next(head for head in HEADS if head != DEFAULT_HEAD)
OTHER = f"sparank_{OTHER_HEAD}"
# What a user gets; its twin on log-CP10k, equal in all else; the other head.
CHANGES = {"sparank": {}, "sparank_log": {"values": "log"}, OTHER: {"head": OTHER_HEAD}}
VARIANTS = tuple(CHANGES)
# Those that can be shown another atlas when they are applied.
ANY_REFERENCE = (OTHER,) if OTHER_HEAD == "query" else ("sparank", "sparank_log")

PACKAGE = Path(tissuemake.__file__).parent
_TRAINING = (
    "architecture",
    "atlas",
    "encoding",
    "evidence",
    "intervals",
    "layers",
    "lessons",
    "model",
    "pretrain",
)
TRAINED_BY = [
    *(PACKAGE / "models" / "sparank" / f"{name}.py" for name in (*_TRAINING, "section", "train")),
    *(PACKAGE / "models" / f"{name}.py" for name in ("schedule", "streams", "trainable", "training")),
    PACKAGE / "reference" / "mixtures.py",
]
ANSWERED_BY = [*TRAINED_BY, *(PACKAGE / "models" / "sparank" / f"{n}.py" for n in ("predict", "deconvolve"))]
# Taken when the code is loaded: what is edited while a long run goes on has not trained its models.
TRAINED_VERSION = of_code(*TRAINED_BY)
# For `one_method`, which sets it: the folder of the model that `proportions` opens.
MODEL = ""


@dataclass(frozen=True)
class Trainer:
    """Trains on demand and remembers.

    Parameters
    ----------
    preset
        Of `architecture.PRESETS`.
    gpus
        Given to training and inference; 0: the CPU.
    keep_models
        Take the newest model of an atlas, seed and variant even if the code that trained it has changed.
    """

    preset: str = "tiny"
    gpus: int = 0
    keep_models: bool = False

    def custom(self, variant: str) -> Preset:
        """The preset with what makes the variant."""
        chosen = PRESETS[self.preset]
        return replace(chosen, architecture=replace(chosen.architecture, **CHANGES[variant]))

    def model(self, variant: str, atlas: Atlas, seed: int, work: Path) -> Path:
        """Folder of the trained model; trains it if it is not there."""
        key = f"{variant}-{self.preset}-{atlas.key}-{seed}"
        folder = work / "models" / f"{key}-{TRAINED_VERSION}"
        if self.keep_models:
            older = sorted(
                (work / "models").glob(f"{key}-*/config.json"), key=lambda path: path.stat().st_mtime
            )
            folder = older[-1].parent if older else folder
        if not (folder / "config.json").is_file():
            started = perf_counter()
            with redirect_stdout(sys.stderr):  # progress; the table is what is printed
                pretrain_sparank(
                    atlas.files["reference"],
                    atlas.files["markers"],
                    folder,
                    preset=self.preset,
                    seed=seed,
                    gpus=self.gpus,
                    checkpoints=work / "checkpoints" / folder.name,
                    custom=self.custom(variant),
                )
            log.info("trained %s on %s, seed %d: %.0f s", variant, atlas.name, seed, perf_counter() - started)
        return folder

    def predict(self, model: Path, problem: Problem, shown: bool = False) -> pd.DataFrame:
        """Shares with ``unknown`` and ``_sd`` columns; `shown`: the problem's atlas, instead of the one trained on."""
        opened = deconvolve.open_model(model)
        if shown:
            opened = deconvolve.with_atlas(opened, problem.atlas.files["reference"])
        return answer(opened, problem.spots, self.gpus)


def answer(model: deconvolve.Model, spots: ad.AnnData, gpus: int = 0) -> pd.DataFrame:
    """What `deconvolve_sparank` would write for these spots."""
    counts, known = deconvolve.align(spots, model, "the benchmark's spots")
    said = deconvolve.answer_for(model, counts, known, given_device(gpus))
    return deconvolve.as_table(said, model.types, spots.obs_names)


def proportions(
    spots: ad.AnnData, reference: ad.AnnData, signatures: pd.DataFrame, markers: pd.DataFrame, seed: int
) -> pd.DataFrame:
    """For `one_method`: open the model in the folder `MODEL` and ask it; the atlas is not needed."""
    return answer(deconvolve.open_model(MODEL), spots)


@lru_cache(maxsize=1)
def hastily_trained(atlas: Atlas, work: Path) -> Path:
    """A model of the right size for timing inference, which does not depend on how well it was trained."""
    trainer = Trainer()
    chosen = trainer.custom("sparank")
    schedule = replace(chosen.schedule, steps=5, validate_every=5)
    folder = work / "models" / "hasty"
    remove(folder)
    with redirect_stdout(sys.stderr):
        pretrain_sparank(
            atlas.files["reference"],
            atlas.files["markers"],
            folder,
            checkpoints=work / "checkpoints" / "hasty",
            custom=replace(chosen, schedule=schedule),
        )
    return folder
