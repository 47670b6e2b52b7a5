"""What lies in a drop folder: its files by folder, and what is refused by its name or because it leads outside."""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tissuemake.errors import InputError

DEEPEST = 12
MOST_FILES = 2_000_000
# What a path must not hold to stand in a cell of the sheet and in the rules: ends of cells and lines, variables,
# wildcards.
UNFIT = re.compile(r"[\x00-\x1f\x7f\u0080-\u009f\u2028\u2029${}]")
LONGEST_NAME = 200


@dataclass(frozen=True)
class Entry:
    """A file: where, how large, when its content or name last changed (s)."""

    path: Path
    size: int
    changed: float


@dataclass
class Folder:
    """A folder of the box. `refused`: what in it must not be read, by path."""

    path: Path
    files: dict[str, Entry] = field(default_factory=dict)
    folders: dict[str, "Folder"] = field(default_factory=dict)
    refused: dict[Path, InputError] = field(default_factory=dict)

    def walk(self) -> Iterator["Folder"]:
        """This folder and all below."""
        yield self
        for child in self.folders.values():
            yield from child.walk()

    def entries(self) -> list[Entry]:
        """Every file below."""
        return [entry for folder in self.walk() for entry in folder.files.values()]

    def all_refused(self) -> dict[Path, InputError]:
        """What is refused here and below."""
        return {path: error for folder in self.walk() for path, error in folder.refused.items()}


def walk_inbox(inbox: Path, besides: tuple[Path, ...] = ()) -> Folder:
    """Look at names, sizes and times of everything in `inbox`; nothing is opened.

    Hidden folders and `besides` (the run itself) are left out. Links are followed to files inside the box only.

    Raises
    ------
    InputError
        ``missing_inbox``, ``unreadable_inbox``, ``inbox_too_large``.
    """
    if not inbox.is_dir():
        raise InputError(
            "missing_inbox",
            f"The inbox {inbox} is no folder.",
            "Give the folder into which runs are dropped; is the disk mounted?",
        )
    root = inbox.resolve()
    if UNFIT.search(str(root)):
        raise InputError(
            "unfit_name",
            f"The path of the inbox, {str(root)!r}, holds a control character, or one of $ {{ }}.",
            "Give the inbox a path that can stand in a sheet.",
        )
    try:
        next(os.scandir(root), None)
    except OSError as error:
        raise InputError(
            "unreadable_inbox",
            f"The inbox {inbox} cannot be read ({error}).",
            "Ask for the right to read it.",
        ) from error
    return _Walk(root, tuple(path.resolve() for path in besides)).folder(root, 0)


class _Walk:
    def __init__(self, root: Path, besides: tuple[Path, ...]) -> None:
        self.root, self.besides, self.seen = root, besides, 0

    def folder(self, path: Path, depth: int) -> Folder:
        found = Folder(path)
        try:
            children = sorted(os.scandir(path), key=lambda child: child.name)
        except OSError as error:
            found.refused[path] = InputError(
                "unreadable_folder", f"{path} cannot be read ({error}).", "Ask for the right to read it."
            )
            return found
        if any(child.name == ".snakemake" for child in children):
            found.refused[path] = InputError(
                "run_folder", f"{path} is a run folder: it holds results, no instrument's output.", ""
            )
            return found
        for child in children:
            self.seen += 1
            if self.seen > MOST_FILES:
                raise InputError(
                    "inbox_too_large",
                    f"The inbox {self.root} holds more than {MOST_FILES:,} files.",
                    "Scan a folder further down, or move old runs out of it.",
                )
            self._child(found, child, depth)
        return found

    def _child(self, found: Folder, child: os.DirEntry, depth: int) -> None:
        path = Path(child.path)
        why = unfit_name(child.name) or (self._leads_out(path) if child.is_symlink() else None)
        if why is not None:
            found.refused[path] = why
            return
        try:
            about = child.stat()
        except OSError:  # gone since it was listed: the next scan sees what is there then
            return
        if stat.S_ISDIR(about.st_mode):
            # A link to a folder inside the box: that folder is seen where it is.
            if not child.is_symlink() and path not in self.besides and not child.name.startswith("."):
                if depth == DEEPEST:
                    found.refused[path] = _too_deep(path)
                else:
                    found.folders[child.name] = self.folder(path, depth + 1)
        elif stat.S_ISREG(about.st_mode):
            found.files[child.name] = Entry(path, about.st_size, changed(about))
        else:
            found.refused[path] = InputError(
                "no_plain_file",
                f"{path} is a device, pipe or socket, not a file.",
                "Take it out of the inbox.",
            )

    def _leads_out(self, path: Path) -> InputError | None:
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):
            return InputError(
                "broken_link", f"{path} is a link that leads nowhere.", "Put the file itself into the inbox."
            )
        if target.is_relative_to(self.root):
            return None
        return InputError(
            "link_out_of_inbox",
            f"{path} is a link to {target}, outside of the inbox {self.root}.",
            "Put the file itself into the inbox, or add the row to the sheet by hand.",
        )


def changed(about: os.stat_result) -> float:
    """When a file last changed (s): its content, or its name and rights, which a copy cannot set back."""
    return max(about.st_mtime, about.st_ctime)


def unfit_name(name: str) -> InputError | None:
    """Why a name cannot stand in a sheet, or None."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        why = "is not UTF-8"
    else:
        if UNFIT.search(name):
            why = "holds a control character, or one of $ { }"
        elif len(name) > LONGEST_NAME:
            why = f"has {len(name)} characters"
        elif name != name.strip():
            why = "begins or ends with a blank"
        else:
            return None
    return InputError(
        "unfit_name",
        f"The name {name[:80]!r} {why}; it cannot stand in a sheet.",
        "Rename it: letters, digits, dot, dash, underscore.",
    )


def _too_deep(path: Path) -> InputError:
    return InputError(
        "too_deep",
        f"{path} lies more than {DEEPEST} folders deep and was not looked at.",
        "Scan a folder further down.",
    )
