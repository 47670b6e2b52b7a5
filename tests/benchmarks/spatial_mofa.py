"""MOFA (Argelaguet et al., Genome Biology 2020) as a rival embedding, where an interpreter has ``mofapy2``."""

import json
import subprocess
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks.methods import peer_python
from benchmarks.score_rows import Cost
from tissuemake.contracts import FILTERED, read_anndata
from tissuemake.expression import most_variable
from tissuemake.files import atomic, write_json

MOFA = "MOFA"
GENES = 2000
# GNU time would have to be installed: the child says its own peak.
MEASURE = """
import resource, runpy, sys, time
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print("\\nCOST", time.process_time(), peak)
"""


@lru_cache(maxsize=1)
def python() -> str | None:
    """The interpreter that has it: this one, or that of ``TISSUEMAKE_PEERS``; None: neither."""
    return peer_python("mofapy2")


def factors(path: Path, seed: int, output: Path) -> tuple[np.ndarray, Cost]:
    """Factors (spots, 15) of the 2,000 most variable genes' log values, in a process of its own, once; its cost."""
    spent = output.with_suffix(".json")
    if not spent.is_file():
        log = read_anndata(path, FILTERED).X
        values = output.with_suffix(".values.npy")
        values.parent.mkdir(parents=True, exist_ok=True)
        np.save(values, log[:, most_variable(log, GENES)].toarray())
        with atomic(output) as partial:
            script = Path(__file__).with_name("mofa_factors.py")
            written = partial.with_name(f"{partial.name}.npy")
            command = [python(), "-c", MEASURE, script, values, written, str(seed)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            written.replace(partial)
        values.unlink()
        seconds, peak = map(float, done.stdout.rsplit("COST", 1)[1].split())
        write_json({"seconds": seconds, "peak_memory_mb": peak}, spent)
    return np.load(output), Cost(**json.loads(spent.read_text(encoding="utf-8")))
