"""Embeddings of others, each as a process of an interpreter that has its package: MOFA and CellCharter."""

import json
import subprocess
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks.methods import peer_python
from benchmarks.score_rows import Cost
from tissuemake.files import atomic, write_json

MOFA, CELLCHARTER = "MOFA", "CellCharter"
# Name in the table → package that must be there, and script beside this file.
PEERS = {
    MOFA: ("mofapy2", "mofa_factors.py"),
    CELLCHARTER: ("cellcharter", "cellcharter_vectors.py"),
}
# GNU time would have to be installed: the child says its own peak.
MEASURE = """
import resource, runpy, sys, time
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print("\\nCOST", time.process_time(), peak)
"""


def installed() -> list[str]:
    """Names of the peers that can be asked."""
    return [name for name in PEERS if python(name)]


@lru_cache(maxsize=len(PEERS))
def python(name: str) -> str | None:
    """The interpreter that has the peer: this one, or that of ``TISSUEMAKE_PEERS``; None: neither."""
    return peer_python(PEERS[name][0])


def vectors(name: str, path: Path, seed: int, output: Path) -> tuple[np.ndarray, Cost]:
    """Vectors (spots, k) of the section in ``filtered.h5ad`` at `path`, made once, and what that took."""
    spent = output.with_suffix(".json")
    if not spent.is_file():
        output.parent.mkdir(parents=True, exist_ok=True)
        with atomic(output) as partial:
            script = Path(__file__).with_name(PEERS[name][1])
            written = partial.with_name(f"{partial.name}.npy")
            command = [python(name), "-c", MEASURE, script, path, written, str(seed)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            written.replace(partial)
        seconds, peak = map(float, done.stdout.rsplit("COST", 1)[1].split())
        write_json({"seconds": seconds, "peak_memory_mb": peak}, spent)
    return np.load(output), Cost(**json.loads(spent.read_text(encoding="utf-8")))
