"""Ground floor: labels that name nothing: cells that nobody could type, spots that nobody annotated."""

import numpy as np
import pandas as pd

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
