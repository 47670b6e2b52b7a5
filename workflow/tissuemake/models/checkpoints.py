"""The checkpoint of a running training: one file, replaced whole, believed only if it is of the same run."""

from pathlib import Path
from pickle import UnpicklingError

import torch

from tissuemake.files import atomic, remove

NAME = "last.ckpt"


def write_checkpoint(folder: Path, content: dict) -> None:
    """Replace the checkpoint of `folder`; a kill while writing leaves the former one."""
    with atomic(folder / NAME) as partial:
        torch.save(content, partial)


def read_checkpoint(folder: Path, settings: dict) -> dict | None:
    """Return the checkpoint of `folder` if it is of a run with `settings`, else None.

    One of other settings is passed over, with the reason printed, and replaced in time: whoever changes the
    config wants the new run, not an error. Only tensors and plain values are unpickled.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        theirs = saved["settings"]
    except (OSError, EOFError, KeyError, RuntimeError, UnpicklingError) as error:
        print(f"{path} is unreadable ({type(error).__name__}); training starts anew.", flush=True)
        return None
    differing = sorted(key for key in settings.keys() | theirs.keys() if settings.get(key) != theirs.get(key))
    if differing:
        print(f"{path} is of another run ({', '.join(differing)} differ); training starts anew.", flush=True)
        return None
    return saved


def discard_checkpoints(folder: Path) -> None:
    """Delete `folder`: to be called once the finished model is written."""
    remove(folder)
