"""Where the weights of a published encoder lie: a folder or file given, or the hub; and reading them safely."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tissuemake import hub
from tissuemake.errors import InputError
from tissuemake.files import sha256
from tissuemake.histology.published_encoders import Published

CONFIG = "config.json"
SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"


@dataclass(frozen=True)
class Source:
    """Weights of an encoder on this machine.

    Attributes
    ----------
    folder, file
        Where they lie, and the file of weights itself.
    origin
        What provenance records: ``org/name@commit``, or the name of the folder or file that was given.
    """

    folder: Path
    file: Path
    origin: str

    def facts(self) -> dict[str, str]:
        """What provenance records of the weights."""
        return {"weights": self.origin, "weights_sha256": sha256(self.file)}


def find_weights(name: str, entry: Published, weights: str | Path | None) -> Source:
    """Return the weights of the encoder `name`.

    Parameters
    ----------
    weights
        A folder with what the hub holds (``config.json`` and ``model.safetensors`` or ``pytorch_model.bin``), one
        file of weights where no config is needed, a hub id ``org/name[@revision]``, or None for the entry's own.

    Raises
    ------
    InputError
        ``weights_needed``, ``missing_model``, ``missing_model_file``; for a hub id those of `hub.download`.
    """
    if not weights and not entry.hub:
        raise InputError(
            "weights_needed",
            f"The weights of the encoder '{name}' are on no hub.",
            f"Download them from their authors ({entry.reference}) and give the file as weights.",
        )
    where = Path(weights).expanduser() if weights else None
    if where is not None and where.is_file():
        return Source(where.parent, where, where.name)
    if where is not None and where.is_dir():
        return Source(where, _weights_file(where), where.resolve().name)
    asked = hub.HUB_ID.fullmatch(str(weights or entry.hub))
    if asked is None or isinstance(weights, Path):
        raise InputError(
            "missing_model",
            f"There is no folder {weights} with the encoder '{name}'.",
            "Correct the path (relative ones start at the run folder), or give a hub id ORG/NAME.",
        )
    return _download(name, asked["name"], asked["revision"])


def _download(name: str, repository: str, revision: str | None) -> Source:
    by_hand = f"Or download it elsewhere, copy the folder here and give it as weights of '{name}'."
    folder = hub.download(repository, revision, [CONFIG, SAFETENSORS], by_hand)
    if not (folder / SAFETENSORS).is_file():
        folder = hub.download(repository, revision, [CONFIG, PICKLE], by_hand)
    # The hub's cache names the folder of a snapshot after its commit.
    return Source(folder, _weights_file(folder), f"{repository}@{folder.name}")


def _weights_file(folder: Path) -> Path:
    for file in (SAFETENSORS, PICKLE):
        if (folder / file).is_file():
            return folder / file
    checkpoints = list(folder.glob("*.pth"))
    if len(checkpoints) == 1:
        return checkpoints[0]
    raise InputError(
        "missing_model_file",
        f"{folder} has neither {SAFETENSORS} nor {PICKLE}, nor a .pth file.",
        "Copy the whole folder of the model as the hub has it.",
    )


def require_config(source: Source) -> Path:
    """Return the model's ``config.json``, which is needed to build it."""
    if not (source.folder / CONFIG).is_file():
        raise InputError(
            "missing_model_file",
            f"{source.folder} has no {CONFIG}.",
            "Copy the whole folder of the model as the hub has it.",
        )
    return source.folder / CONFIG


def read_state(file: Path) -> dict:
    """Read tensors by name from safetensors, or from a pickle that holds nothing but tensors and plain data.

    Raises
    ------
    InputError
        ``pickle_refused`` for a pickle that wants to run code, ``unreadable_model``.
    """
    import torch
    from safetensors.torch import load_file

    with explained(file):
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Turn what goes wrong while `file` is loaded into an error that says what to do."""
    try:
        yield
    except (InputError, ImportError):
        raise
    except Exception as error:
        if type(error).__name__ == "UnpicklingError" or "Weights only load failed" in str(error):
            raise InputError(
                "pickle_refused",
                f"{file} is a pickle that holds more than weights ({_first_line(error)}). Opening it could run any "
                "code, so it is not opened.",
                f"Ask whoever made it for {SAFETENSORS}.",
            ) from error
        raise InputError(
            "unreadable_model",
            f"{file} cannot be loaded ({type(error).__name__}: {_first_line(error)}).",
            "Copy or download the whole folder again, and see that it is the model that the encoder's name says.",
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]


def need(load: Callable, package: str, what: str, pip: str):
    """Return what `load` imports.

    Raises
    ------
    InputError
        ``missing_package`` with the line that installs it.
    """
    try:
        return load()
    except ImportError as error:
        raise InputError(
            "missing_package",
            f"{what} needs the package {package}, which cannot be imported ({error}).",
            f"{pip} (in the environment of the job), or choose another encoder.",
        ) from error
