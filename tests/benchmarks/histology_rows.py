"""The one shape of a score in the image benchmarks, whoever measures it, and what each metric means."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

COLUMNS = ["test", "problem", "metric", "method", "seed", "value"]


@dataclass(frozen=True)
class Row:
    """One number.

    Parameters
    ----------
    test
        What is asked: ``expression``, ``tumour``, ``between spots``, ``zones``, ``learning curve``.
    problem
        On what, train and test by name: ``her2st C2+C3 -> C4``.
    metric
        A name in `HIGHER`, or one that has no winner.
    method
        Encoder and head, or a baseline: ``color + ridge``, ``section mean``.
    seed
        Of what is random in the method: the split, the weights, the simulated tissue.
    """

    test: str
    problem: str
    metric: str
    method: str
    seed: int
    value: float


# Which metrics are better when larger; others have no winner.
HIGHER = (
    "PCC top 250",
    "PCC top 50",
    "depth-adjusted PCC top 250",
    "depth-adjusted PCC top 50",
    "over ceiling top 250",
    "over ceiling top 50",
    "r",
    "AUROC",
    "AUPRC",
    "ARI",
    "NMI",
    "ARI as shipped",
    "NMI as shipped",
)
# Rows that know what no head knows; they are no rivals.
CEILING = "noise ceiling"
# Of values between spots: they read the section's spots, as every method there does, and no image.
NEAREST, LINEAR, SMOOTH = "nearest spot", "linear interpolation", "smooth field without image"
INTERPOLATIONS = (NEAREST, LINEAR, SMOOTH)
# Of domains: what is read, and answers that read nothing, or no image.
ALONE, WITH_EXPRESSION = "image alone", "with expression"
ONE_DOMAIN, BLOCKS = "one domain for all", "blocks of positions"
PCA, SPATIAL = "expression alone, pca", "expression alone, spatial"
WITHOUT_IMAGE = (ONE_DOMAIN, BLOCKS, PCA, SPATIAL)
# Read the measured expression of the very section that they predict.
INFORMED = ("neighbour mean", "library size", CEILING)


def rows(test: str, problem: str, method: str, seed: int, scores: Mapping[str, float]) -> Iterator[Row]:
    """A `Row` for each metric of `scores`."""
    for metric, value in scores.items():
        yield Row(test, problem, metric, method, seed, float(value))


def as_table(rows: Iterable[Row]) -> pd.DataFrame:
    """Columns `COLUMNS`, a row each."""
    return pd.DataFrame([vars(row) for row in rows], columns=COLUMNS)
