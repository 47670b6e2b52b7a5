"""The methods that need no training, behind one call; peers run in an interpreter of their own."""

import json
import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from benchmarks.fingerprint import of_code
from benchmarks.problems import Atlas, Problem
from tissuemake.deconvolution import to_shares
from tissuemake.files import atomic

ROOT = Path(__file__).parents[2]
TRIVIAL = ("uniform", "mean_composition", "mean_of_truth")
LEAST_SQUARES = ("nnls", "nnls_rescaled")
PEERS = ("tangram", "cell2location")
# Knows the answer's mean, which no method could: never the winner, and a bar for RMSE and JSD.
ORACLES = ("mean_of_truth",)

NO_PEER = "not installed: give TISSUEMAKE_PEERS=PYTHON of an environment that has it"


def constant(problem: Problem, row: pd.Series) -> pd.DataFrame:
    """The same composition in every spot."""
    return pd.DataFrame(
        np.tile(row.to_numpy(float), (problem.spots.n_obs, 1)),
        index=problem.spots.obs_names,
        columns=row.index,
    )


def trivial(name: str, problem: Problem) -> pd.DataFrame:
    """Equal shares; the composition of the atlas's cells; the mean of the truth."""
    types = problem.atlas.signatures.columns
    if name == "uniform":
        return constant(problem, pd.Series(1 / len(types), index=types))
    if name == "mean_composition":
        labels = problem.reference.obs["cell_type"].astype(str)
        return constant(problem, labels.value_counts(normalize=True).reindex(types))
    return constant(problem, problem.truth.mean())


def least_squares(name: str, problem: Problem, seed: int) -> pd.DataFrame:
    """`tissuemake.deconvolution`'s own methods, in this process."""
    module = import_module(f"tissuemake.deconvolution.{name}")
    atlas = problem.atlas
    estimate = module.proportions(problem.spots, atlas.cells, atlas.signatures, atlas.markers, seed)
    return to_shares(estimate)[0]


def residual(problem: Problem) -> pd.Series:
    """How badly NNLS fits each spot: a rival for the unknown share.

    Cosine distance between the spot and its fit, genes weighted by counting noise, as NNLS sees them.
    """
    from tissuemake.deconvolution.gene_choice import assemble, poisson_weights
    from tissuemake.deconvolution.nnls import fit

    task = assemble(problem.spots, problem.reference, problem.atlas.signatures, problem.atlas.markers)
    weights = poisson_weights(task.signature)
    seen = task.counts.toarray() * weights
    fitted = fit(task.counts, task.signature) @ (task.signature * weights[:, None]).T
    size = np.linalg.norm(seen, axis=1) * np.linalg.norm(fitted, axis=1)
    return pd.Series(1 - (seen * fitted).sum(axis=1) / np.maximum(size, 1e-12), index=problem.spots.obs_names)


def peer_python(name: str) -> str | None:
    """The interpreter that can import a peer: this one, or that of ``TISSUEMAKE_PEERS``; None: neither."""
    if find_spec(name) is not None:
        return sys.executable
    other = os.environ.get("TISSUEMAKE_PEERS", "")
    if not other:
        return None
    check = subprocess.run([other, "-c", f"import {name}"], capture_output=True, check=False)
    return other if check.returncode == 0 else None


def in_own_process(
    name: str, spots: Path, atlas: Atlas, output: Path, seed: int, *, python: str = sys.executable, **options
) -> dict:
    """Run a method on files in a process of its own: seconds, peak memory, and what the method says of itself.

    Raises
    ------
    RuntimeError
        The process failed; its last lines of stderr are the message.
    """
    command = [
        python,
        str(Path(__file__).with_name("one_method.py")),
        name,
        spots,
        atlas.folder,
        output,
        seed,
    ]
    command += [f"{key}={value}" for key, value in options.items()]
    paths = [str(ROOT / "workflow"), str(ROOT / "tests")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [str(part) for part in command], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def peer(name: str, problem: Problem, seed: int, work: Path, **options) -> pd.DataFrame:
    """A peer's shares; its seconds and memory are in ``attrs``. Kept in a folder: they take minutes to hours."""
    package = ROOT / "workflow" / "tissuemake" / "deconvolution"
    version = of_code(package / f"{name}.py", package / "gene_choice.py")
    said = "".join(f"-{key}{value}" for key, value in options.items())
    key = f"{name}-{problem.name}-{problem.atlas.key}-{seed}{said}-{version}"
    output = work / "answers" / f"{key.replace(' ', '_')}.parquet"
    if not output.is_file():
        with TemporaryDirectory() as folder, atomic(output) as partial:
            spots = Path(folder, "spots.h5ad")
            problem.spots.write_h5ad(spots)
            python = peer_python(name)
            cost = in_own_process(name, spots, problem.atlas, partial, seed, python=python, **options)
            table = pd.read_parquet(partial)
            table.attrs = cost
            table.to_parquet(partial)
    table = pd.read_parquet(output)
    shares = to_shares(table.reindex(problem.spots.obs_names))[0]
    shares.attrs = table.attrs
    return shares
