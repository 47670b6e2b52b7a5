"""Why the profiles ask the queue by `squeue`: with `sacct`, plugin 2.8.0 never learns that a job was cancelled."""

import asyncio
import logging
import os
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_slurm import Executor

POLLS = 20
SAYS = {"sacct": "7|CANCELLED by 0", "squeue": "7|CANCELLED"}


class Asking(Executor):
    """The plugin as far as it asks about jobs that it has submitted; nothing is submitted."""

    run_uuid = "this-run"
    logger = logging.getLogger(__name__)
    status_rate_limiter = asyncio.Lock()
    next_seconds_between_status_checks = 20

    def __init__(self, command: str) -> None:
        settings = {"init_seconds_before_status_checks": 20, "status_attempts": 1, "requeue": False}
        self.workflow = SimpleNamespace(executor_settings=SimpleNamespace(**settings))
        self.ended: list[str] = []
        self.get_status_command = lambda: command
        self._status_query_calls = self._status_query_failures = self._status_query_total_seconds = 0
        self._status_query_min_seconds = self._status_query_max_seconds = 0
        self._status_query_cycle_rows = []
        self._preemption_warning = False

    def report_job_error(self, job, msg, aux_logs) -> None:
        self.ended.append(msg)


async def polls(asking: Asking) -> int:
    """How often a job is asked about until no more is expected of it, `POLLS` times at most."""
    job = SimpleNamespace(external_jobid="7", aux={})
    for poll in range(1, POLLS + 1):
        if not [left async for left in asking.check_active_jobs([job])]:
            return poll
    return POLLS


@pytest.mark.parametrize(("command", "asked"), [("sacct", POLLS), ("squeue", 1)])
def test_a_cancelled_job_is_asked_about_for_ever_with_sacct_alone(command, asked, tmp_path, monkeypatch):
    said = {**SAYS, "scontrol": "MinJobAge = 300 sec"}
    for name, line in said.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{line}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    asking = Asking(command)
    assert asyncio.run(polls(asking)) == asked
    assert len(asking.ended) == (command == "squeue")
