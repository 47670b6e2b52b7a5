"""What a scan remembers for the next one: sizes and times of what grows, and what was taken and left out, and why."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tissuemake.errors import InputError
from tissuemake.files import read_json, write_json
from tissuemake.inbox import MEMORY
from tissuemake.intake.candidates import Candidate
from tissuemake.intake.walk import Entry

FORMAT = 1
LATER = "Nothing to do: it is taken by a later scan, once it stopped growing."
# How programs name what they have not finished copying.
_RSYNC = re.compile(r"^\..+\.\w+\.(?=\w*[A-Z0-9])\w{6}$")
PARTIAL = (".part", ".partial", ".crdownload", ".filepart", ".download", ".tmp", ".aria2", ".!ut")


class Memory:
    """``config/inbox.json`` of a run."""

    def __init__(self, run: Path) -> None:
        self.path = run / MEMORY
        self.content: dict = {"format": FORMAT, "inboxes": {}, "rows": {}}
        if self.path.is_file():
            try:
                found = read_json(self.path)
                known = found["format"] == FORMAT and isinstance(found["inboxes"], dict)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                known = False
            if not known:
                raise InputError(
                    "unreadable_memory",
                    f"{self.path} is not what a scan wrote.",
                    "Restore it, or delete it: what stands in the sheet is then still not taken twice.",
                )
            self.content |= found

    def of_inbox(self, inbox: Path) -> dict[str, dict]:
        """What earlier scans found in `inbox`: by path below it."""
        return self.content["inboxes"].get(str(inbox), {}).get("found", {})

    @property
    def rows(self) -> dict[str, dict]:
        """Digests of rows of the sheet, by sample: ``state`` of the files, ``counts``, ``places``."""
        return self.content["rows"]

    def write(self, inbox: Path, found: dict[str, dict], scanned: str) -> None:
        """Replace what is known of `inbox`, whole or not at all."""
        self.content["inboxes"][str(inbox)] = {"scanned": scanned, "found": found}
        write_json(self.content, self.path)


@contextmanager
def one_scan_at_a_time(run: Path) -> Iterator[None]:
    """Hold the run's lock: of two scans at once, the second ends at once.

    Raises
    ------
    InputError
        ``scan_running``.
    """
    folder = run / MEMORY.parent
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / ".inbox.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                "scan_running",
                f"Another scan works on {run}.",
                "Nothing to do: let it end. A scan every ten minutes is enough.",
            ) from error
        yield
    finally:
        os.close(handle)


def size_of(candidate: Candidate) -> dict[str, float]:
    """What must not change any more: files, bytes, the newest change (s)."""
    entries = candidate.entries
    return {
        "files": len(entries),
        "bytes": sum(entry.size for entry in entries),
        "changed": max((entry.changed for entry in entries), default=0.0),
    }


def why_unsettled(
    candidate: Candidate, images: list[Entry], before: dict, now: float, settle: float
) -> InputError | None:
    """Why a candidate, or one of the `images` in its reach, may still be growing, or None.

    It has settled when nothing in it changed for `settle` seconds by the files' own times (those that a copy
    cannot set back), or when it is what a scan at least as long ago saw.
    """
    partial = [entry.path.name for entry in candidate.entries if _is_partial(entry.path.name)]
    if partial:
        return InputError("copying", f"{partial[0]} is a copy under way.", LATER)
    why = _why_growing(size_of(candidate), before, now, settle)
    fresh = [image for image in images if 0 <= now - image.changed < settle]
    if why is None and fresh:
        return _young(f"The image {fresh[0].path.name} beside it", now - fresh[0].changed, settle)
    return why


def _why_growing(size: dict, before: dict, now: float, settle: float) -> InputError | None:
    age = now - size["changed"]
    if age >= settle:
        return None
    if before.get("size") == size:
        return None if now - before.get("since", now) >= settle else _young("It", age, settle)
    if not before.get("size"):
        return _young("It", age, settle)
    grown = (size["bytes"] - before["size"]["bytes"]) / 1e6
    now_has = f"{size['files']} files, {size['bytes'] / 1e6:,.1f} MB, {grown:+,.1f} MB"
    return InputError("growing", f"It changed since the last scan ({now_has}).", LATER)


def _young(what: str, age: float, settle: float) -> InputError:
    message = f"{what} changed {max(age, 0):.0f} s ago; it must rest for {settle:.0f} s before it is taken."
    return InputError("just_arrived", message, LATER)


def _is_partial(name: str) -> bool:
    # rsync writes `.NAME.EXT.Xy12Zw` and renames it when it is whole.
    return name.lower().endswith(PARTIAL) or bool(_RSYNC.match(name))
