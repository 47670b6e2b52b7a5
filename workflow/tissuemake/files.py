"""Ground floor: whole files or none. Writes go to a hidden neighbour first and are renamed at the end."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from tissuemake.errors import InputError


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a hidden path beside `path`; rename it to `path` when the block ends well.

    A kill leaves at most ``.NAME.partial.EXT``, which nothing reads and the next write replaces. The
    extension is kept because writers look at it.

    Raises
    ------
    InputError
        ``disk_full`` when the file system has no room left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    remove(partial)
    try:
        yield partial
        partial.replace(path)
    except BaseException as error:
        remove(partial)
        if _is_disk_full(error):
            raise InputError(
                "disk_full",
                f"No space left on the device while writing {path}.",
                f"Free space on the file system of {path.parent} and run again; finished files are kept.",
            ) from error
        raise


def remove(path: Path) -> None:
    """Delete a file, a link or a whole folder; what is not there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_disk_full(error: BaseException) -> bool:
    """HDF5 and Arrow wrap the operating system's error, so the text counts as well as the number."""
    if not isinstance(error, OSError):
        return False
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error)


def write_text(text: str, path: str | Path) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(content: object, path: str | Path) -> None:
    """Write `content` as indented JSON, whole or not at all; NaN is refused."""
    write_text(json.dumps(content, indent=2, allow_nan=False, default=str) + "\n", path)


def read_json(path: str | Path) -> dict:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def last_written(folder: str | Path) -> str:
    """Say which file below `folder` was written last, and when; nothing for what is no folder.

    A folder's own time tells of names that come and go in it, not of a file that is written over, nor of one further
    down. Folders named ``analysis``, which instruments fill and no stage reads, are passed over.
    """
    latest, newest = 0, ""
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "analysis" and not name.startswith(".")]
        for path in (f"{where}/{name}" for name in names if not name.startswith(".")):
            with suppress(OSError):  # a broken link
                latest, newest = max((latest, newest), (Path(path).stat().st_mtime_ns, path))
    if not newest:
        return ""
    when = datetime.fromtimestamp(latest / 1e9, UTC).isoformat(timespec="milliseconds")
    return f"{Path(newest).relative_to(folder)} written {when}"


def sha256(path: str | Path) -> str:
    """Return the hex SHA-256 of a file, read in blocks."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
