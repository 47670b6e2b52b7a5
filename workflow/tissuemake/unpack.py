"""Ground floor: unpack an archive from a stranger: nothing in it may land outside its folder."""

import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tissuemake.errors import InputError
from tissuemake.packed import MOST_MEMBERS, bomb, check_zip, most_bytes


def unpack(archive: Path, folder: Path) -> list[Path]:
    """Unpack ``.tar``, ``.tar.gz``, ``.tgz`` or ``.zip`` into `folder`, merging with what is there.

    Members are unpacked into a hidden neighbour first, so that a refused or broken archive leaves nothing.

    Returns
    -------
    list of Path
        The files that now lie in `folder`.

    Raises
    ------
    InputError
        ``decompression_bomb``: it unfolds into more than `packed.most_bytes` allows.
        ``unsafe_archive``: a member would leave the folder (absolute path, ``..``, link to outside, device).
        ``broken_archive``: the archive is cut short or no archive.
    """
    staging = folder / f".unpacking-{archive.name}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        if archive.name.endswith(".zip"):
            _unpack_zip(archive, staging)
        else:
            with tarfile.open(archive) as handle:
                handle.extractall(staging, filter=_Counted(archive))
        return _move_into(staging, folder)
    except tarfile.FilterError as error:
        raise _unsafe(archive, str(error)) from error
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, NotADirectoryError) as error:
        raise InputError(
            "broken_archive",
            f"{archive.name} cannot be unpacked ({error}).",
            "Fetch it again; if it stays so, the file on the server is broken: correct the URL.",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _unpack_zip(archive: Path, folder: Path) -> None:
    """``zipfile`` would quietly rename a hostile member; a hostile archive is refused instead."""
    with zipfile.ZipFile(archive) as handle:
        for name in handle.namelist():
            parts = PurePosixPath(name.replace("\\", "/"))
            if parts.is_absolute() or ".." in parts.parts or ":" in "".join(parts.parts[:1]):
                raise _unsafe(archive, f"member '{name}'")
        check_zip(handle, archive)
        handle.extractall(folder)


class _Counted:
    """The filter of safe members, which stops before more is written than an archive of this size holds."""

    def __init__(self, archive: Path) -> None:
        self.archive, self.held, self.members = archive, 0, 0

    def __call__(self, member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        self.held, self.members = self.held + member.size, self.members + 1
        if self.held > most_bytes(self.archive.stat().st_size) or self.members > MOST_MEMBERS:
            raise bomb(self.archive, self.held)
        return tarfile.data_filter(member, path)


def _move_into(staging: Path, folder: Path) -> list[Path]:
    moved = []
    for path in sorted(staging.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        target = folder / path.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
        moved.append(target)
    return moved


def _unsafe(archive: Path, what: str) -> InputError:
    return InputError(
        "unsafe_archive",
        f"{archive.name} holds a member that would be written outside its folder ({what}).",
        "Do not use this archive; download it by hand from a source you trust and give the folder's path.",
    )
