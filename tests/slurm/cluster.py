"""The small cluster of the tests as Python sees it: bring it up, ask it, strike it."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from run_folder import ROOT, SNAKEMAKE

SCRIPT = Path(__file__).with_name("cluster.sh")
HOOK = Path(__file__).with_name("rehearsal")
CONF = Path("/etc/slurm/slurm.conf")
OURS = "ClusterName=tissuemake-tests\n"


def missing() -> str:
    """Why no cluster can be brought up here, or nothing."""
    if not os.environ.get("TISSUEMAKE_SLURM"):
        return "'make test-slurm' brings it up"
    if os.geteuid() != 0:
        return "not root"
    if not (Path("/etc/debian_version").exists() and shutil.which("dpkg")):
        return "not Debian"
    if CONF.exists() and not CONF.read_text().startswith(OURS):
        return f"this host has a SLURM of its own ({CONF})"
    installed = subprocess.run(["bash", SCRIPT, "install"], capture_output=True, text=True, check=False)
    return "" if installed.returncode == 0 else f"no packages: {installed.stderr.strip()[-200:]}"


class Cluster:
    """A small cluster that is up, and the runs that were started on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, run: Path, *arguments: str, profile: str = "slurm") -> subprocess.Popen:
        """Start Snakemake in `run` as a user does; what it says goes into ``said.log`` there."""
        # Tests that run in the background ignore Ctrl-C, and so would what they start.
        command = ["env", "--default-signal=INT", SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile")]
        command += ["--workflow-profile", profile, "--slurm-init-seconds-before-status-checks", "5"]
        command += ["--latency-wait", "10", *arguments]
        environment = {**os.environ, "REHEARSAL": "1", "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(HOOK), os.environ.get("PYTHONPATH", "")])
        with (run / "said.log").open("a") as said:
            started = subprocess.Popen(
                command, cwd=run, env=environment, stdout=said, stderr=said, start_new_session=True
            )
        (self.folder / "runs" / str(started.pid)).touch()
        return started

    def lose(self, node: str, run: Path) -> None:
        """What a node does whose power is gone: its daemon and its jobs of `run` end, and nobody says so."""
        daemon = int((self.folder / f"slurmd.{node}.pid").read_text())
        runs = {int(path.name) for path in (self.folder / "runs").iterdir()}
        steps = tuple(f"slurmstepd: [{job['JobId']}." for job in jobs(run))
        # First who would tell, then who was at work.
        gone = [daemon, *(pid for pid, said in commands().items() if said.startswith(steps))]
        gone += [pid for pid in commands() if at_work(pid, run) and os.getsid(pid) not in runs]
        for pid in gone:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")

    def find(self, node: str) -> None:
        """The node is back."""
        ask("slurmd", "-N", node)
        ask("scontrol", "update", f"NodeName={node}", "State=RESUME")


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Bring the cluster up in `folder` and take it down again, also when the tests are killed."""
    command = ["bash", str(SCRIPT), "hold", str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as held:
        assert held.stdout.readline() == "up\n", "the cluster did not come up; what failed stands above"
        yield Cluster(folder)


def commands() -> dict[int, str]:
    """The command line of every process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found[int(path.parent.name)] = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


def at_work(pid: int, folder: Path) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cwd").resolve() == folder.resolve()
    return False


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
