"""Ground floor: a model that the config pins by its hash is that model, or nothing runs."""

import json
from collections.abc import Sequence
from pathlib import Path

from tissuemake.configuration import PRETRAIN
from tissuemake.errors import InputError
from tissuemake.files import read_json, sha256
from tissuemake.hub import HUB_ID

WEIGHTS, CONFIG = "model.safetensors", "config.json"
# Key of the config → the file of a model folder whose hash it is.
PINNED = {"sha256": WEIGHTS, "config_sha256": CONFIG}
# What config.json calls a model that `models` of the config has a place for, and heads that `histology.heads` finds.
MODELS = ("sparank", "spafoundation", "sagefm", "quadflow")
HEADS = ("expression", "tumor")


def is_pinned(settings: dict) -> bool:
    """Whether a part of ``models`` in the config pins its weights."""
    return any(settings.get(key) for key in PINNED)


def check_pins(models: dict) -> None:
    """Refuse pinned models that changed, before anything runs; those of the hub are looked at by the first job.

    Parameters
    ----------
    models
        The part ``models`` of a completed config, after `configuration.check_models`.

    Raises
    ------
    InputError
        ``pin_without_weights``, ``pin_without_revision``, and those of `refuse_changed`.
    """
    for name, settings in models.items():
        weights = settings["weights"]
        if not is_pinned(settings):
            continue
        if weights == PRETRAIN:
            raise InputError(
                "pin_without_weights",
                f"config: models.{name} has a sha256, but its weights are '{PRETRAIN}': that model is yet to be made.",
                f"Name the folder of the pinned model in models.{name}.weights, or empty the sha256.",
            )
        if Path(weights).exists():
            refuse_changed(name, Path(weights), settings)
        elif (asked := HUB_ID.fullmatch(weights)) and not asked["revision"]:
            raise InputError(
                "pin_without_revision",
                f"config: models.{name}.weights is '{weights}', which is pinned but has no revision.",
                f"Write '{weights}@REVISION' (a commit): another revision makes again what depends on the model.",
            )


def refuse_changed(name: str, where: Path, settings: dict) -> None:
    """Raise if a file of a model is not the one that the config pins.

    Parameters
    ----------
    name
        The model's key in ``models`` of the config.
    where
        Its folder, or a published checkpoint.
    settings
        Its part of the config; without hashes all is well.

    Raises
    ------
    InputError
        ``pinned_model_changed``, ``missing_pinned_file``, each naming model, file and hashes.
    """
    for key, file in PINNED.items():
        expected = settings.get(key)
        if not expected:
            continue
        path = where if where.is_file() else where / file
        if not path.is_file():
            raise InputError(
                "missing_pinned_file",
                f"config: models.{name} is pinned, and {path} is not there.",
                "Copy the whole folder of the pinned model again, or pin another one (tissuemake pin FOLDER).",
            )
        found = sha256(path)
        if found != expected:
            raise InputError(
                "pinned_model_changed",
                f"The pinned model {name} changed: {path} has the sha256 {found}, and models.{name}.{key} in the "
                f"config is {expected}.",
                "Bring the pinned file back: manifests of deliveries name the hash. To use the new model instead, put "
                "it into a folder of its own and pin it (tissuemake pin FOLDER): what depends on it is made again.",
            )


def model_folders(folder: Path) -> list[Path]:
    """Return the whole models in a run's ``results/models``, or `folder` itself when it is one."""
    candidates = [folder, *sorted((folder / "results" / "models").glob("*"))]
    return [path for path in candidates if all((path / file).is_file() for file in PINNED.values())]


def config_lines(folders: Sequence[Path]) -> list[str]:
    """Return the part ``models`` of a config that pins these models, and ``histology.heads`` where there are heads.

    The config has room for one model of a kind: of several, one per reference, the others are comments.
    """
    lines, notes, heads = [], [], set()
    for folder in map(Path.absolute, folders):
        kind = read_json(folder / CONFIG).get("kind", "")
        if kind in HEADS:
            heads.add(folder.parent)
        elif kind not in MODELS:
            notes.append(
                f"# {folder.name} is not pinned: it is fitted on the samples marked 'pretrain' of each run."
            )
        else:
            again = any(line.startswith(f"  {kind}:") for line in lines)
            hashes = [f"{key}: {sha256(folder / file)}" for key, file in PINNED.items()]
            given = ", ".join([f"weights: {json.dumps(str(folder))}", *hashes])
            lines.append(f"{'  # or ' if again else '  '}{kind}: {{{given}}}")
    said = ["models:", *lines] if lines else []
    said += [f"histology: {{heads: {json.dumps(str(folder))}}}" for folder in sorted(heads)]
    return [*said, *notes]
