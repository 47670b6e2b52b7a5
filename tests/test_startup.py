"""Jobs are many and short: a script loads what it uses, and no more."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
TRAIN = {path.stem for path in SCRIPTS.glob("pretrain_*.py")}
ASK_A_NETWORK = {
    *("annotate_spots", "deconvolve_sparank", "embed_sagefm", "embed_spafoundation", "impute_sagefm"),
    *("detect_tumor", "fit_annotation", "fit_expression", "fit_tumor", "import_spafoundation"),
    *("perturb_cohort", "perturb_spots", "predict_expression", "predict_pathways"),
}
HEAVY = ("torch", "lightning", "scanpy", "squidpy", "spatialdata", "sklearn", "liana", "matplotlib.pyplot")


def modules(scripts: set[str]) -> set[str]:
    """What the scripts import of the package."""
    trees = [ast.parse((SCRIPTS / f"{name}.py").read_text()) for name in scripts]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {node.module for node in nodes if node.module.startswith("tissuemake")}


def loaded(scripts: set[str]) -> set[str]:
    """Which of the heavy libraries are there before the first of these scripts has done anything."""
    program = f"import {', '.join(sorted(modules(scripts)))}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(HEAVY) & set(done.stdout.split())


@pytest.mark.parametrize(
    ("scripts", "may"),
    [
        ({path.stem for path in SCRIPTS.glob("*.py")} - TRAIN - ASK_A_NETWORK, set()),
        (ASK_A_NETWORK, {"torch", "sklearn"}),
    ],
    ids=["no_network", "asks_a_network"],
)
def test_a_script_loads_no_library_before_it_is_used(scripts, may):
    assert loaded(scripts) <= may
