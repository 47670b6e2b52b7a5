"""Python runs this first in every job of `jobs_startup`: it times what is imported, whenever that happens."""

import atexit
import builtins
import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path


class Stopwatch:
    """Processor seconds inside the outermost import of the main thread."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._inside = False

    def timed(self, load: Callable) -> Callable:
        """`load`, an import function, under this watch."""

        def loading(*arguments, **named):
            if self._inside or threading.current_thread() is not threading.main_thread():
                return load(*arguments, **named)
            self._inside, started = True, time.process_time()
            try:
                return load(*arguments, **named)
            finally:
                self._inside = False
                self.seconds += time.process_time() - started

        return loading


if "IMPORT_TIMES" in os.environ:
    watch = Stopwatch()
    builtins.__import__ = watch.timed(builtins.__import__)
    importlib.import_module = watch.timed(importlib.import_module)

    @atexit.register
    def tell() -> None:
        """Add a line for this process."""
        row = {"program": Path(sys.argv[0]).name, "imports": watch.seconds, "all": time.process_time()}
        with Path(os.environ["IMPORT_TIMES"]).open("a") as lines:
            lines.write(json.dumps(row) + "\n")
