"""A cluster that notes what it is asked for and refuses: what a profile makes of a job, seen without SLURM."""

import os
import re
import shlex
import subprocess
from pathlib import Path

from run_folder import ROOT, SNAKEMAKE

REFUSE = (
    '#!/bin/bash\nfor word in "$@"; do printf "%s\\0" "$word"; done > "$(mktemp "$ASKED/XXXXXXXX")"\nexit 1\n'
)
# What a submission is called, and what it runs, is the plugin's matter; all else is the profile's and the rule's.
OWN = {"--job-name": 1, "--output": 1, "-D": 1, "--comment": 1, "--parsable": 0, "--export=ALL": 0}


def asked(folder: Path, profile: str, *targets: str, options: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Flags of every submission of a run: by rule and wildcards, an entry per attempt, least memory first."""
    tools, notes = folder / "tools", folder / f"asked-{profile}"
    tools.mkdir(exist_ok=True)
    notes.mkdir(exist_ok=True)
    for name in ("sbatch", "squeue", "scontrol", "sinfo", "sacct", "sacctmgr"):
        (tools / name).write_text(REFUSE if name == "sbatch" else "#!/bin/sh\nexit 1\n")
        (tools / name).chmod(0o755)
    # From the run folder, as a user does: then the profile is the one beside the Snakefile.
    command = [SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile")]
    command += ["--workflow-profile", profile, *options, "--", *targets]
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "ASKED": str(notes)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    jobs: dict[str, list[str]] = {}
    for note in notes.iterdir():
        comment, flags = read(note.read_text().split("\0")[:-1])
        jobs.setdefault(comment, []).append(flags)
    assert jobs, done.stdout[-3000:] + done.stderr[-3000:]
    return {job: sorted(flags, key=memory) for job, flags in jobs.items()}


def read(words: list[str]) -> tuple[str, str]:
    """The comment of a submission, which names rule and wildcards, and its flags as one line."""
    comment, flags, words = "", [], iter(words)
    for word in words:
        if word.startswith("--wrap="):
            continue
        if word in OWN:
            values = [next(words) for _ in range(OWN[word])]
            comment = values[0] if word == "--comment" else comment
        else:
            flags.append(word)
    return comment.removeprefix("rule_").replace("_wildcards_", " "), shlex.join(flags)


def memory(flags: str) -> int:
    return int(re.search(r"--mem (\d+)", flags)[1])
