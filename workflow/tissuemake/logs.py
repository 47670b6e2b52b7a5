"""Ground floor: all that a job prints goes to its log; a mendable error leaves its message, no traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tissuemake.errors import InputError


@contextmanager
def logged(path: str | Path) -> Iterator[None]:
    """Send standard output and error, of C libraries too, to `path` while the block runs.

    An `InputError` ends the process with status 1 and its message as the last line of the log.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The processes of one training share the log: the first starts it anew, all append.
    if "LOCAL_RANK" not in os.environ:
        path.write_text("")
    with path.open("a", buffering=1, encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.stdout = sys.stderr = log
        try:
            yield
        except InputError as error:
            print(f"ERROR [{error.code}] {error.message}\nREMEDY {error.remedy}", file=log)
            sys.exit(1)
