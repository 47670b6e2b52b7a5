"""The core of models/ runs on a bare GPU image: no module of it needs the single-cell stack."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "workflow"
# Add a model's modules as it arrives; its shells (files in, files out) are not in it.
CORE = [
    "tissuemake.device",
    "tissuemake.models.card",
    "tissuemake.models.store",
    "tissuemake.models.training",
    "tissuemake.reference.mixtures",
    *(
        f"tissuemake.models.sparank.{name}"
        for name in ("model", "train", "predict", "intervals", "fusion", "thin_sections", "distil")
    ),
    *(
        f"tissuemake.models.spafoundation.{name}"
        for name in ("architecture", "network", "pooling", "views", "masks", "losses", "collapse", "train")
    ),
]
CORE_PACKAGES = {"torch", "numpy", "safetensors", "lightning", "transformers", "tissuemake"}
SINGLE_CELL_STACK = ("pandas", "anndata", "scipy", "scanpy", "sklearn", "h5py", "pyarrow", "squidpy", "zarr")
WITHOUT = """
import importlib, sys
from importlib.machinery import PathFinder

class Bare(PathFinder):  # neither modules nor distributions: torchmetrics asks for scipy's before it imports it
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in BLOCKED else PathFinder.find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, *args, **kwargs):
        return (one for one in PathFinder.find_distributions(*args, **kwargs) if one.name not in BLOCKED)

BLOCKED = set(sys.argv[1].split(","))
sys.meta_path[sys.meta_path.index(PathFinder)] = Bare
for module in sys.argv[2].split(","):
    importlib.import_module(module)
assert not BLOCKED & set(sys.modules)
"""


def test_the_core_of_models_runs_without_the_single_cell_stack():
    command = [sys.executable, "-c", WITHOUT, ",".join(SINGLE_CELL_STACK), ",".join(CORE)]
    ran = subprocess.run(command, text=True, capture_output=True, timeout=120)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("module", CORE)
def test_the_core_of_models_imports_its_few_packages_only(module):
    tree = ast.parse((PACKAGE / Path(*module.split("."))).with_suffix(".py").read_text())
    for node in tree.body:  # an import inside a function is paid for by those who call it
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        packages = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)
        assert packages <= CORE_PACKAGES, f"{module} imports {packages - CORE_PACKAGES}"
