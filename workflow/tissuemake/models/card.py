"""The model card: what a model is for, what made it, how well it does and where it fails, as README.md."""

from collections.abc import Mapping, Sequence

from tissuemake.models.curve import Curve

FRONT = """---
library_name: tissuemake
license: other
tags: [spatial-transcriptomics, {kind}]
---
"""


def model_card(
    name: str,
    *,
    kind: str,
    intended_use: str,
    training_data: Mapping[str, str],
    preset: str,
    curve: Curve,
    scores: Mapping[str, float],
    failure_modes: Sequence[str],
    licence: str,
) -> str:
    """Return the card as Markdown, with the front matter that model hubs read.

    Parameters
    ----------
    training_data
        SHA-256 by file name: whoever has the file can tell whether it is the same.
    scores
        On donors that took no part in training; each under a name that says metric and data.
    licence
        Under which the weights may be used; follows from the training data.
    """
    if not (intended_use and training_data and failure_modes and licence):
        raise ValueError("a card states intended use, training data, failure modes and licence")
    sections = {
        "Intended use": intended_use,
        "Training data": _table(("file", "sha256"), training_data),
        "Training": _table(("", ""), _facts(preset, curve)),
        "Scores on held-out donors": _table(
            ("score", "value"), {key: f"{value:.4g}" for key, value in scores.items()}
        )
        if scores
        else "None were computed.",
        "Where it fails": "\n".join(f"- {mode}" for mode in failure_modes),
        "Licence": licence,
    }
    body = "\n".join(f"## {title}\n\n{text}\n" for title, text in sections.items())
    return f"{FRONT.format(kind=kind)}\n# {name}\n\n{body}"


def _facts(preset: str, curve: Curve) -> dict[str, str]:
    return {
        "preset": preset,
        "seed": str(curve.seed),
        "device": curve.device,
        "precision": curve.precision,
        "steps": f"{curve.step} (weights of step {curve.best_step})",
        "lowest validation loss": f"{curve.best:.5g}",
        "seconds": f"{curve.seconds:.0f}",
    }


def _table(header: tuple[str, str], rows: Mapping[str, str]) -> str:
    lines = [header, ("---", "---"), *rows.items()]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
