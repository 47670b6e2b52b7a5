"""A folder on a file system of its own, whose size a test changes while the workflow runs on it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Callable[[int], None] | None]:
    """Mount a file system over `folder` and yield what changes its size; None where this is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)

    def resize(size: int, *more: str) -> int:
        options = ",".join((*more, f"size={size}k"))
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode

    def again(size: int) -> None:
        assert resize(size, "remount") == 0

    if os.geteuid() != 0 or resize(kilobytes):
        yield None
        return
    try:
        yield again
    finally:
        # Lazily: when a test is stopped, a job of its run may still hold it.
        subprocess.run(["umount", "-l", str(folder)], check=False)


def used_kilobytes(folder: Path) -> int:
    """What the file system of `folder` holds."""
    state = os.statvfs(folder)
    return (state.f_blocks - state.f_bfree) * state.f_frsize // 1024
