"""Which of several heads a spot is asked of: one that did not see its donor or, of a lone donor, its block."""

from collections.abc import Mapping

import numpy as np

from tissuemake.evaluation.splits import spatial_blocks

FOLDS = 5
# A neighbouring spot of ST stands 200 µm away: neither tiles nor neighbours are shared across a buffer of this.
LEAST_BUFFER_UM = 250.0
ALL = "all"


def donor_of(facts: Mapping) -> str:
    """Who gave the tissue, by a section's ``uns["tissuemake"]``; a sample without a donor is a donor of its own."""
    return str(facts.get("donor") or f"sample:{facts['sample']}")


def without_donor(donor: str) -> str:
    """Name of the head that saw every donor but `donor`."""
    return f"without donor {donor}"


def without_block(sample: str, fold: int) -> str:
    """Name of the head that saw neither block `fold` of `sample` nor what lies next to it."""
    return f"without block {fold} of {sample}"


def head_of_spots(sample: str, donor: str, positions: np.ndarray, config: Mapping) -> np.ndarray:
    """Name of the head (spots,) that each spot is asked of.

    Parameters
    ----------
    positions
        (spots, 2) in µm, those of fitting: the same positions and seed give the same blocks.
    config
        Of the model: ``heads`` (names), ``donors`` (by sample) and ``seed``.
    """
    asked = np.full(len(positions), ALL, dtype=object)
    if donor not in config["donors"].values():
        return asked
    if without_donor(donor) in config["heads"]:
        asked[:] = without_donor(donor)
        return asked
    if sample in config["donors"]:
        blocks = spatial_blocks(positions, FOLDS, config["seed"])
        for fold in range(FOLDS):
            if without_block(sample, fold) in config["heads"]:
                asked[blocks == fold] = without_block(sample, fold)
    return asked
