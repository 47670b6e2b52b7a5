"""What is written of a head beside its weights: a card, and the one row of a training that was a solution."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tissuemake.files import sha256
from tissuemake.models.card import model_card
from tissuemake.models.curve import Curve


def head_card(
    title: str,
    *,
    kind: str,
    intended_use: str,
    failure_modes: Sequence[str],
    files: Mapping[str, Sequence[Path | str]],
    preset: str,
    scores: Mapping[str, float],
    curve: Curve,
) -> str:
    """Return the card of a head.

    Parameters
    ----------
    files
        By sample what the head was fitted on; a name that is no file (labels of an h5ad's own column) is left out.
    """
    hashes = {
        f"{sample}: {Path(path).name}": sha256(path)
        for sample, paths in files.items()
        for path in paths
        if Path(path).is_file()
    }
    return model_card(
        title,
        kind=kind,
        intended_use=intended_use,
        training_data=hashes,
        preset=preset,
        curve=curve,
        scores=scores,
        failure_modes=failure_modes,
        licence="That of the sections and of the encoder: weights are derived from both.",
    )


def solved_curve(train_loss: float, valid_loss: float, seed: int, seconds: float) -> Curve:
    """One row: a head is solved, not trained."""
    curve = Curve(seed=seed, device="cpu", precision="float64")
    curve.add(step=1, train_loss=train_loss, valid_loss=valid_loss, learning_rate=0.0, seconds=seconds)
    return curve
