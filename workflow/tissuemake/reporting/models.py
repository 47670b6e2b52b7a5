"""The pretrained model behind a method's numbers: what it is, what its card says, how its training went."""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tissuemake import files
from tissuemake.errors import InputError
from tissuemake.reporting import charts
from tissuemake.reporting.attributions import speaking_genes
from tissuemake.reporting.pages import plain, seconds

WEIGHTS, CONFIG, TRAINING, CARD = "model.safetensors", "config.json", "training.parquet", "README.md"
# What of a model's config and of its training's record stands first, and what it is called there.
FACTS = {
    "preset": "preset",
    "graph": "graph",
    "reference": "reference",
    "encoder": "encoder",
    "organism": "organism",
    "seed": "seed",
    "device": "trained on",
    "precision": "precision",
    "parameters": "parameters",
    "best_step": "step of the weights kept",
}
UNESCAPED_BAR = re.compile(r"(?<!\\)\|")
SCORES = "Scores on held-out donors"
SAID_ABOVE = ("Training", SCORES)
# Measures of collapse, when all images get the same answer: columns by their names, a title, and what to look for.
WATCHED = (
    (
        {"of one image": "teacher_entropy", "over all images": "prototype_entropy"},
        "Entropy of the teacher",
        "Nats. The entropy of one image stays below that over all while it tells images apart; they meet when it "
        "collapses.",
    ),
    (
        {"spread": "feature_sd"},
        "Spread of the features",
        "Over images; 1 where they fill all directions. Near 0, all images look the same to it.",
    ),
    (
        {"rank": "effective_rank"},
        "Effective rank",
        "How many directions the features fill. Near 1, they lie on one line.",
    ),
)


@dataclass(frozen=True)
class Model:
    """A model folder as far as pages and manifests speak of it; what is missing from the folder is empty.

    `card` is ``README.md`` by heading: lines of text, and table rows as pairs.
    """

    folder: Path
    config: dict
    weights_sha256: str
    training: pd.DataFrame
    card: dict[str, list]


def read_model(folder: str | Path) -> Model:
    """Read what pages say of a model folder; the weights are hashed, not loaded.

    Raises
    ------
    InputError
        ``no_model`` when weights or config are missing.
    """
    folder = Path(folder)
    missing = [name for name in (WEIGHTS, CONFIG) if not (folder / name).is_file()]
    if missing:
        raise InputError(
            "no_model",
            f"{folder} is no model: {' and '.join(missing)} is missing.",
            "Name a folder that pretraining wrote, or run the pretraining again.",
        )
    curve, card = folder / TRAINING, folder / CARD
    return Model(
        folder,
        files.read_json(folder / CONFIG),
        files.sha256(folder / WEIGHTS),
        pd.read_parquet(curve) if curve.is_file() else pd.DataFrame(),
        read_card(card.read_text(encoding="utf-8")) if card.is_file() else {},
    )


def read_card(text: str) -> dict[str, list]:
    """Return a card's second-level headings with what stands under each: text, or ``(name, value)`` of a table."""
    sections: dict[str, list] = {}
    lines: list = []
    for line in text.splitlines():
        if line.startswith("## "):
            lines = sections.setdefault(line[3:].strip(), [])
        elif line.startswith("|"):
            cells = _cells(line)
            lines.append((cells[0], ", ".join(cells[1:])))
        elif line.strip():
            lines.append(line.strip().removeprefix("- "))
    return {title: _without_header(found) for title, found in sections.items()}


def _cells(row: str) -> list[str]:
    return [cell.replace("\\|", "|").strip() for cell in UNESCAPED_BAR.split(row.strip())[1:-1]]


def _without_header(lines: list) -> list:
    rule = next(
        (i for i, line in enumerate(lines) if isinstance(line, tuple) and set(line[0]) == {"-"}), None
    )
    return lines if rule is None else [*lines[: rule - 1], *lines[rule + 1 :]]


def facts_of(model: Model) -> list[tuple[str, object]]:
    """Return the facts to read first; what the folder does not say is left out."""
    record = model.training.attrs.get("tissuemake", {})
    graph = {"graph": (model.config.get("architecture") or {}).get("graph")}
    said = {
        **graph,
        **record,
        **{key: value for key, value in model.config.items() if not isinstance(value, dict)},
    }
    at_once = len(model.training) == 1  # a head that was fitted, not trained: there are no steps to speak of
    keys = [key for key in FACTS if not (at_once and key == "best_step")]
    facts = [(FACTS[key], said[key]) for key in keys if said.get(key) not in (None, "")]
    if len(model.training) > 1:
        facts.append(("steps of training", int(model.training["step"].max())))
        facts.append(("time of training", seconds(model.training["seconds"].max())))
    return [*facts, ("sha256 of the weights", model.weights_sha256)]


def model_section(
    method: str,
    model: Model | None,
    attributions: pd.DataFrame | None,
    markers: pd.DataFrame | None,
    record: dict | None = None,
) -> dict:
    """Return what the page shows of a model: ``facts``, ``scores``, ``card``, ``curve``, ``watched``, ``types``.

    The last are the rows of `speaking_genes`; whatever is not known is empty. A model of a hub has no folder
    here: then `record`, the provenance of the proportions, says which it was.
    """
    record = record or {}
    named = {"model": record.get("model"), "sha256 of the weights": record.get("weights_sha256")}
    known = [(name, value) for name, value in named.items() if value]
    found = {
        "method": method,
        "facts": known,
        "scores": [],
        "card": {},
        "curve": None,
        "watched": [],
        "types": [],
    }
    if model is not None:
        found["facts"] = facts_of(model)
        found["scores"] = [line for line in model.card.get(SCORES, []) if isinstance(line, tuple)]
        found["card"] = {title: said for title, said in model.card.items() if title not in SAID_ABOVE}
        # A head fitted in one step has a row, and no course to draw.
        kept = model.training.attrs.get("tissuemake", {}).get("best_step")
        found["curve"] = charts.loss_curve(model.training, kept) if len(model.training) > 1 else None
        found["watched"] = watched(model.training)
    if attributions is not None:
        found["types"] = speaking_genes(attributions, markers)
    return found


def watched(training: pd.DataFrame) -> list[dict]:
    """Return a small chart for each measure of collapse that was logged while a model taught itself."""
    found = []
    for columns, title, note in WATCHED:
        logged = {
            name: training[["step", column]].dropna().to_numpy(float)
            for name, column in columns.items()
            if column in training and training[column].notna().sum() > 1
        }
        if logged:
            names = list(logged) if len(logged) > 1 else []
            found.append({"title": title, "note": note, "names": names, "svg": charts.course(logged, title)})
    return found


def summary(model: Model) -> dict:
    """Return what a manifest records of a model: where it lies, its hash, its facts and its card."""
    return plain(
        {
            "folder": str(model.folder),
            "weights_sha256": model.weights_sha256,
            "facts": dict(facts_of(model)),
            "card": {title: [_line(line) for line in said] for title, said in model.card.items()},
        }
    )


def _line(line: str | tuple[str, str]) -> str:
    return line if isinstance(line, str) else ": ".join(line)
