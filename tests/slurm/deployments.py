"""Stands in for conda and apptainer where they are not installed: it answers what a dry run asks of them."""

import os
from pathlib import Path

ANSWERS = {
    "conda": {
        "info --json": '{"conda_prefix": "/opt/conda", "platform": "linux-64"}',
        "--version": "conda 24.11.1",
        "config --get channel_priority --json": '{"get": {"channel_priority": "strict"}}',
    },
    "apptainer": {"--version": "apptainer version 1.3.4"},
}


def stand_ins(folder: Path) -> dict[str, str]:
    """Write both into `folder`; returns the environment in which they are found. What they cannot answer fails."""
    folder.mkdir()
    for name, answers in ANSWERS.items():
        cases = [f"'{asked}') echo '{answer}' ;;" for asked, answer in answers.items()]
        script = ["#!/bin/bash", 'case "$*" in', *cases, f'*) echo "{name} $*" >&2; exit 1 ;;', "esac"]
        (folder / name).write_text("\n".join(script) + "\n")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
