"""Ground floor: a model that the config pins by its hash is that model, or nothing runs."""

import json
from collections.abc import Sequence
from pathlib import Path

from tissuemake.errors import InputError
from tissuemake.files import read_json, sha256
from tissuemake.hub import HUB_ID

# The value of `weights` that asks for a model to be made here.
PRETRAIN = "pretrain"
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
        if settings.get(key):
            path = where if where.is_file() else where / file
            _compare(path, settings[key], f"model {name}", f"models.{name}.{key}")


def check_pinned_heads(histology: dict) -> None:
    """Refuse heads that are not those which the config pins.

    Parameters
    ----------
    histology
        That part of a completed config; ``heads_sha256`` holds ``HEAD/FILE:SHA256``.

    Raises
    ------
    InputError
        As `refuse_changed`; ``pin_without_weights`` when no folder of heads is given.
    """
    folder, pins = histology["heads"], histology["heads_sha256"]
    if pins and not folder:
        raise InputError(
            "pin_without_weights",
            "config: histology.heads_sha256 pins heads, but histology.heads is empty: they are yet to be fitted.",
            "Name the folder of the pinned heads in histology.heads, or empty histology.heads_sha256.",
        )
    for pin in pins:
        file, _, expected = pin.rpartition(":")
        _compare(Path(folder) / file, expected, f"head {file.partition('/')[0]}", "histology.heads_sha256")


def _compare(path: Path, expected: str, what: str, key: str) -> None:
    if not path.is_file():
        raise InputError(
            "missing_pinned_file",
            f"config: the {what} is pinned ({key}), and {path} is not there.",
            "Copy the whole folder of the pinned model again, or pin another one (tissuemake pin FOLDER).",
        )
    found = sha256(path)
    if found != expected:
        raise InputError(
            "pinned_model_changed",
            f"The pinned {what} changed: {path} has the sha256 {found}, and {key} in the config is {expected}.",
            "Bring the pinned file back: manifests of deliveries name the hash. To use the new model instead, put "
            "it into a folder of its own and pin it (tissuemake pin FOLDER): what depends on it is made again.",
        )


def model_folders(folder: Path) -> list[Path]:
    """Return the whole models in a run's ``results/models``, or `folder` itself when it is one."""
    candidates = [folder, *sorted((folder / "results" / "models").glob("*"))]
    return [path for path in candidates if all((path / file).is_file() for file in PINNED.values())]


def config_lines(folders: Sequence[Path]) -> list[str]:
    """Return the lines of a config that pin these models: a part ``models``, and ``histology`` where there are heads.

    The config has room for one model of a kind: of several, one per reference, the others are comments.
    """
    lines, notes, heads = [], [], {}
    for folder in map(Path.absolute, folders):
        kind = read_json(folder / CONFIG).get("kind", "")
        hashes = {key: sha256(folder / file) for key, file in PINNED.items()}
        if kind in HEADS:
            pins = [f"{folder.name}/{file}:{hashes[key]}" for key, file in PINNED.items()]
            heads.setdefault(folder.parent, []).extend(pins)
        elif kind in MODELS:
            again = any(line.startswith(f"  {kind}:") for line in lines)
            given = json.dumps({"weights": str(folder), **hashes})
            lines.append(f"{'  # or ' if again else '  '}{kind}: {given}")
        else:
            notes.append(f"# {folder.name} is not pinned: each run fits it on its samples marked 'pretrain'.")
    said = ["models:", *lines] if lines else []
    for folder, pins in heads.items():
        listed = [f"    - {json.dumps(pin)}" for pin in pins]
        said += ["histology:", f"  heads: {json.dumps(str(folder))}", "  heads_sha256:", *listed]
    return [*said, *notes]
