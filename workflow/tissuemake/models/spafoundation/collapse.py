"""Whether self-distillation has collapsed: measured at each validation, and a run that has is stopped."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from tissuemake.errors import InputError

# Further columns of the curve.
WATCHED = ("teacher_entropy", "prototype_entropy", "feature_sd", "effective_rank")
# Nats that the teacher's assignment must tell of a tile, as a share of ln(prototypes): near 0 when all tiles get
# the same one, be it one prototype or all of them alike.
LEAST_TOLD = 0.01
# Of unit features: standard deviation over tiles, times the root of the width (1 where they fill the sphere).
LEAST_SD = 0.02
# Of the directions in which features spread.
LEAST_RANK = 1.5
PATIENCE = 2


def spread_of_features(target: Tensor, features: Tensor) -> dict[str, Tensor]:
    """Measure one validation.

    Parameters
    ----------
    target
        The teacher's assignments of tiles, (n, prototypes).
    features
        Its features of tiles, (m, width).

    Returns
    -------
    dict
        ``teacher_entropy``: of a tile's assignment, mean, in nats; ``prototype_entropy``: of the mean assignment;
        what assignments tell of a tile is the second less the first. ``feature_sd``: root mean square over
        entries of the standard deviation of features of length 1, times the root of the width.
        ``effective_rank``: exponential of the entropy of the singular values (Roy & Vetterli 2007).
    """
    target, features = target.float(), features.float()
    unit = torch.nn.functional.normalize(features, dim=1)
    values = torch.linalg.svdvals(features - features.mean(0))
    share = values / values.sum().clamp_min(1e-12)
    return {
        "teacher_entropy": torch.special.entr(target).sum(1).mean(),
        "prototype_entropy": torch.special.entr(target.mean(0)).sum(),
        "feature_sd": unit.var(0).mean().sqrt() * features.shape[1] ** 0.5,
        "effective_rank": torch.special.entr(share).sum().exp(),
    }


def refuse_collapse(columns: Mapping[str, list], prototypes: int, since: int) -> None:
    """Raise if the last `PATIENCE` validations after step `since` all show a collapse.

    At first nothing has been learnt, which looks the same.

    Raises
    ------
    InputError
        ``collapsed``, with what helps.
    """
    steps = columns["step"]
    if sum(step > since for step in steps) < PATIENCE:
        return
    last = [{name: columns[name][-back] for name in WATCHED} for back in range(1, PATIENCE + 1)]
    reasons = [_reason(row, prototypes) for row in last]
    if all(reasons):
        raise InputError(
            "collapsed",
            f"Self-distillation has collapsed by step {steps[-1]}: {reasons[0]}, at {PATIENCE} validations in a row.",
            "Take fewer prototypes (512 to 2,048 for under 100,000 tiles), a slower teacher (momentum 0.9995 at 256 "
            "tiles a step or fewer), a lower teacher temperature, Sinkhorn centring with KoLeo, or more tiles.",
        )


def _reason(row: Mapping[str, float], prototypes: int) -> str:
    told = row["prototype_entropy"] - row["teacher_entropy"]
    if told < LEAST_TOLD * math.log(prototypes):
        return (
            f"the teacher gives all tiles the same assignment (entropy {row['teacher_entropy']:.2f} of at most "
            f"{math.log(prototypes):.2f} nats, telling {told:.3f})"
        )
    if row["feature_sd"] < LEAST_SD:
        return f"all tiles have the same features (standard deviation {row['feature_sd']:.4f})"
    if row["effective_rank"] < LEAST_RANK:
        return f"features differ in one direction only (effective rank {row['effective_rank']:.2f})"
    return ""
