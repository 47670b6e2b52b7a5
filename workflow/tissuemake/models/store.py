"""A model is a folder: weights (safetensors), config.json, loss curve, card. Written whole, checked when loaded."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tissuemake import hub
from tissuemake.errors import InputError
from tissuemake.files import atomic, read_json, remove, sha256, write_json, write_text
from tissuemake.models import checkpoints
from tissuemake.models.curve import Curve
from tissuemake.pins import CONFIG, WEIGHTS, is_pinned, refuse_changed

FORMAT = 1
KINDS = ("sparank", "spafoundation", "sagefm", "quadflow", "expression", "tumor", "annotation")
TRAINING, CARD = "training.parquet", "README.md"
FILES = (WEIGHTS, CONFIG, TRAINING, CARD)
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def save_model(
    folder: str | Path, state: Mapping[str, Tensor], config: dict, card: str, curve: Curve
) -> None:
    """Write a model into `folder`: its four files, ``config.json`` last, as the mark that all are there.

    Parameters
    ----------
    state
        Parameters and buffers by name, on any device.
    config
        What it takes to build and use the model (plain JSON values); ``"kind"`` is one of `KINDS`. The format
        and the hash of the weights are added.
    card
        Markdown, see `model_card`.

    Raises
    ------
    InputError
        ``missing_package`` before anything is written, when pyarrow is not installed.
    """
    if config.get("kind") not in KINDS:
        raise ValueError(f"config['kind'] is one of {KINDS}, not {config.get('kind')!r}")
    folder = Path(folder)
    if find_spec("pyarrow") is None:
        raise InputError(
            "missing_package",
            f"{folder / TRAINING} needs the package pyarrow, which is not installed.",
            "Install it (pip install pyarrow) and run again: the checkpoint of the training is kept.",
        )
    remove(folder / CONFIG)  # first out, last in: a kill between leaves a folder that is refused
    with atomic(folder / WEIGHTS) as partial:
        # Cloned, because tied weights share their memory, which the format does not allow.
        save_file({name: value.detach().cpu().clone().contiguous() for name, value in state.items()}, partial)
    _write_curve(curve, folder / TRAINING)
    write_text(card, folder / CARD)
    weights = {"file": WEIGHTS, "sha256": weights_hash(folder), "bytes": (folder / WEIGHTS).stat().st_size}
    write_json({**config, "format": FORMAT, "weights": weights}, folder / CONFIG)


def _write_curve(curve: Curve, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    facts = {name: getattr(curve, name) for name in ("seed", "device", "precision", "best_step")}
    # The key under which pandas keeps ``DataFrame.attrs``, where all our tables have their provenance.
    attributes = json.dumps({"tissuemake": facts})
    with atomic(path) as partial:
        pq.write_table(pa.table(curve.columns).replace_schema_metadata({"PANDAS_ATTRS": attributes}), partial)


def load_model(where: str | Path, kind: str | None = None) -> tuple[dict[str, Tensor], dict]:
    """Load weights (on the CPU) and config of a model.

    Parameters
    ----------
    where
        Its folder, or a hub id ``org/name`` or ``org/name@revision`` (needs the package huggingface_hub).
    kind
        What it must be, one of `KINDS`; None takes any.

    Raises
    ------
    InputError
        ``missing_model``, ``missing_model_file``, ``pickle_refused``, ``unreadable_model``, ``model_format``,
        ``wrong_model``, ``weights_changed``; for a hub id those of `hub.download`.
    """
    folder = _find(where)
    config = _checked_config(folder, kind)
    if weights_hash(folder) != config["weights"]["sha256"]:
        raise InputError(
            "weights_changed",
            f"{folder / WEIGHTS} is not the file that {CONFIG} describes (sha256 {weights_hash(folder)[:12]}…, "
            f"expected {config['weights']['sha256'][:12]}…).",
            "Copy or download the whole folder again, or train the model again.",
        )
    try:
        return load_file(folder / WEIGHTS), config
    except (SafetensorError, OSError) as error:
        raise _unreadable(folder / WEIGHTS, error) from error


def check_pinned(name: str, where: str, settings: dict) -> None:
    """Refuse a pinned model that changed since the run began, or came from the hub as another.

    Parameters
    ----------
    name, settings
        The model's key in ``models`` of the config, and what stands there.
    where
        What a job is about to load; only what ``weights`` names is pinned, not what was made of it.

    Raises
    ------
    InputError
        Those of `pins.refuse_changed`, and for a hub id those of `hub.download`.
    """
    if is_pinned(settings) and where == settings["weights"]:
        refuse_changed(name, _find(where), settings)


def weights_hash(folder: str | Path) -> str:
    """Return the SHA-256 of the weights in `folder`: what a delivery records of the model it used."""
    return sha256(Path(folder) / WEIGHTS)


def _checked_config(folder: Path, kind: str | None) -> dict:
    _refuse_pickles(folder)
    for name in (WEIGHTS, CONFIG):
        if not (folder / name).is_file():
            raise _missing(folder, name)
    path = folder / CONFIG
    try:
        config = read_json(path)
        found, written = config["kind"], config["format"]
        _ = config["weights"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from error
    if written != FORMAT:
        raise InputError(
            "model_format",
            f"{path} has format {written!r}; this version of tissuemake reads format {FORMAT}.",
            "Update tissuemake if the model is newer; train the model again if it is older.",
        )
    if found not in KINDS or kind not in (None, found):
        raise InputError(
            "wrong_model",
            f"{path} describes a model of kind {found!r}, not {kind or ' or '.join(KINDS)}.",
            f"Give the folder of a {kind or 'tissuemake'} model (config: models: {kind or 'NAME'}: weights).",
        )
    return config


def _refuse_pickles(folder: Path) -> None:
    """Nothing here would open one, but whoever is handed the folder might; a checkpoint of our own may lie there."""
    found = [path.name for path in folder.glob("*") if path.suffix.lower() in PICKLES]
    pickles = sorted(name for name in found if name != checkpoints.NAME or not (folder / WEIGHTS).is_file())
    if not pickles:
        return
    beside = "beside" if (folder / WEIGHTS).is_file() else "and no"
    raise InputError(
        "pickle_refused",
        f"{folder} holds {', '.join(pickles)} {beside} {WEIGHTS}. A pickle can run any code when it is opened, so none "
        "is ever loaded, and a folder with one is not of tissuemake's making.",
        f"Take it out if you know where it came from; else ask whoever made the model for {WEIGHTS} and {CONFIG}, or "
        "train it here (weights: pretrain).",
    )


def _missing(folder: Path, name: str) -> InputError:
    return InputError(
        "missing_model_file",
        f"{folder} has no {name}; a model is a folder with {', '.join(FILES)}.",
        f"Copy the whole folder. If it was written here, the run was stopped before its end ({CONFIG} is written "
        "last): run it again.",
    )


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        "unreadable_model",
        f"{path} is not what tissuemake writes ({type(error).__name__}: {error}).",
        "Copy or download the whole folder again, or train the model again.",
    )


def _find(where: str | Path) -> Path:
    """Return the folder of `where`; what is not a folder and looks like a hub id is downloaded."""
    folder = Path(where).expanduser()
    if str(where) and folder.is_dir():  # an empty string would be the working directory
        return folder
    asked = hub.HUB_ID.fullmatch(where) if isinstance(where, str) else None
    if asked is None:
        raise InputError(
            "missing_model",
            f"There is no model folder {where}.",
            "Correct the path (relative ones start at the run folder), give a hub id ORG/NAME, or train it "
            "(weights: pretrain).",
        )
    # Nothing but our files: a pickle that lies beside them never arrives.
    by_hand = (
        f"Or download it elsewhere, copy the folder here and give its path instead of '{asked['name']}'."
    )
    return hub.download(asked["name"], asked["revision"], FILES, by_hand)
