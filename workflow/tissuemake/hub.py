"""Ground floor: files of a model from the Hugging Face hub, or the reason why they did not come and what to do."""

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from tissuemake.errors import InputError

HUB_ID = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def download(name: str, revision: str | None, patterns: Sequence[str], by_hand: str) -> Path:
    """Download those files of a repository that match `patterns`, and return the folder they lie in.

    What was downloaded before is taken from the hub's own cache; with ``HF_HUB_OFFLINE=1`` nothing else is.

    Parameters
    ----------
    name, revision
        ``org/name``, and a branch, tag or commit; None is the newest.
    by_hand
        Sentence of the remedy: how to do without the hub.

    Raises
    ------
    InputError
        ``missing_package``, ``gated_model`` or ``hub_unreachable``.
    """
    try:
        hub = import_module("huggingface_hub")
    except ImportError as error:
        raise InputError(
            "missing_package",
            f"'{name}' is no folder here; to load it as a hub id needs the package huggingface_hub ({error}).",
            f"Correct the path, or: pip install huggingface_hub. {by_hand}",
        ) from error
    try:
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except Exception as error:  # the hub's errors share no base class
        if type(error).__name__ == "GatedRepoError":
            raise InputError(
                "gated_model",
                f"The hub gives '{name}' only to those who accepted its terms ({error}).",
                f"Accept them on https://huggingface.co/{name} and put your token into the environment variable "
                f"HF_TOKEN. {by_hand}",
            ) from error
        raise InputError(
            "hub_unreachable",
            f"'{name}' is no folder here, and the hub did not give it ({type(error).__name__}: {error}).",
            f"Check the name, the revision, HF_TOKEN for a private model and the network. {by_hand}",
        ) from error
