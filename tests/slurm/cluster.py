"""The small cluster of the tests as Python sees it: bring it up, ask it, strike it."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from run_folder import ROOT, SNAKEMAKE

SCRIPT = Path(__file__).with_name("cluster.sh")
HOOK = Path(__file__).with_name("rehearsal")


def missing() -> str:
    """Why no cluster can be brought up here, or nothing."""
    if not os.environ.get("TISSUEMAKE_SLURM"):
        return "'make test-slurm' brings it up"
    if os.geteuid() != 0:
        return "not root"
    if shutil.which("slurmctld"):
        return ""
    return "" if Path("/etc/debian_version").exists() and shutil.which("apt-get") else "not Debian"


class Cluster:
    """A small cluster that is up, and the runs that were started on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen] = []

    def start(self, run: Path, *arguments: str, profile: str = "slurm") -> subprocess.Popen:
        """Start Snakemake in `run` as a user does; what it says goes into ``said.log`` there."""
        command = [SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--workflow-profile", profile]
        command += ["--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "10", *arguments]
        environment = {**os.environ, "REHEARSAL": "1", "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(HOOK), os.environ.get("PYTHONPATH", "")])
        with (run / "said.log").open("a") as said:
            started = subprocess.Popen(
                command, cwd=run, env=environment, stdout=said, stderr=said, start_new_session=True
            )
        self._running.append(started)
        return started

    def leave(self) -> None:
        """End what still runs."""
        for started in self._running:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)
        ask("scancel", "--user", "root")
        until(lambda: not ask("squeue", "--noheader"), 60)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Bring the cluster up in `folder` and take it down again."""
    subprocess.run(["bash", str(SCRIPT), "up", str(folder)], check=True, timeout=300)
    up = Cluster(folder)
    try:
        yield up
    finally:
        up.leave()
        subprocess.run(["bash", str(SCRIPT), "down", str(folder)], check=True, timeout=60)


def ask(*command: str) -> str:
    """What a tool of SLURM answers; nothing when it does not."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def jobs(run: Path) -> list[dict[str, str]]:
    """What SLURM knows of the jobs of a run folder, in the order of their submission."""
    told = [
        dict(re.findall(r"(\w+)=(\S*)", line))
        for line in ask("scontrol", "--oneliner", "show", "job").splitlines()
    ]
    return sorted((job for job in told if job.get("WorkDir") == str(run)), key=lambda job: int(job["JobId"]))


def rule(job: dict[str, str]) -> str:
    return job["Comment"].removeprefix("rule_").partition("_wildcards_")[0]


def until(what: Callable[[], object], seconds: float = 600) -> object:
    """Wait for `what()` to be true and return it."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.3)
    return answer


def finish(running: subprocess.Popen, run: Path, seconds: float = 900) -> str:
    """Wait for a run to end well; what it said."""
    status = running.wait(timeout=seconds)
    said = (run / "said.log").read_text()
    assert status == 0, said[-6000:]
    return said
