"""Python runs this first in every job of a test on the small cluster, whose GPUs are none and whose time is short.

A job that SLURM gave a GPU trains on the CPU and says so; one that was given none still refuses. Trainings are short,
and wait after each checkpoint while the run folder holds a file ``hold``, so that a test can strike in the middle. The
Snakemake that submits asks the queue every few seconds; by itself it asks less and less often while nothing ends.
"""

import contextlib
import os
import sys
import time
from pathlib import Path

STEPS, VALIDATE_EVERY = 16, 4
POLL_SECONDS = 3


def rehearse() -> None:
    from tissuemake import device, files
    from tissuemake.models.schedule import Schedule

    really, whole = device.given_device, files.atomic

    def given_device(gpus: int) -> device.Device:
        seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        if gpus == 0 or len(seen) != gpus:
            return really(gpus)
        return device.Device("cpu", 1, f"made-up GPU {','.join(seen)}", "32-true")

    @contextlib.contextmanager
    def atomic(path):
        with whole(path) as partial:
            yield partial
        if Path(path).name == "last.ckpt":
            wait()

    def shorten(schedule: Schedule) -> None:
        object.__setattr__(schedule, "steps", STEPS)
        object.__setattr__(schedule, "validate_every", VALIDATE_EVERY)

    device.given_device, files.atomic, Schedule.__post_init__ = given_device, atomic, shorten


def ask_often() -> None:
    from snakemake_executor_plugin_slurm import Executor

    Executor.next_seconds_between_status_checks = property(
        lambda self: POLL_SECONDS, lambda self, value: None
    )


def wait() -> None:
    eaten = bytearray(b"x") * 900_000_000 if Path("eat").exists() else b""
    while Path("hold").exists():
        Path("holding").write_text(str(os.getpid()))
        time.sleep(0.2)
    del eaten


if "REHEARSAL" in os.environ:
    with contextlib.suppress(ImportError):
        ask_often() if Path(sys.argv[0]).name == "snakemake" else rehearse()
