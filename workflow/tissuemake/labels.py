"""Ground floor: labels that name nothing: cells that nobody could type, spots that nobody annotated."""

import numpy as np
import pandas as pd

from tissuemake.contracts import GATE, SD_SUFFIX, UNKNOWN
from tissuemake.errors import InputError

# No profile should be learned from such cells, no domain be scored on such spots.
NO_LABEL = frozenset(
    {
        *("", "nan", "none", "na", "n/a", "<na>"),
        *("unknown", "unassigned", "unlabelled", "unlabeled", "unsure", "undetermined", "unclassified"),
        *("ambiguous", "doublet", "doublets", "multiplet"),
    }
)


def label_text(labels: pd.Series) -> pd.Series:
    """Labels as text without blanks around; empty where there is none."""
    given = labels.astype(object)
    return given.where(given.notna(), "").astype(str).str.strip()


def is_named(labels: pd.Series) -> np.ndarray:
    """Whether each label names something."""
    return ~label_text(labels).str.lower().isin(NO_LABEL).to_numpy()


def refuse_reserved(labels: pd.Series | pd.Index, where: str) -> None:
    """Raise ``reserved_type`` for a type that bears the name of another column of a table of proportions."""
    names = set(labels)
    reserved = {UNKNOWN, GATE} | {f"{name}{SD_SUFFIX}" for name in names | {UNKNOWN}}
    for name in sorted(names & reserved):
        raise InputError(
            "reserved_type",
            f"{where}: a cell type is called '{name}', which in a table of proportions is no type: "
            f"'{UNKNOWN}' and '{GATE}' are columns of their own, '{SD_SUFFIX}' ends an uncertainty.",
            f"Rename the type '{name}' in the atlas or in its table of labels.",
        )
