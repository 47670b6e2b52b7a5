"""Import a method that is installed only on request, or say how to install it."""

from importlib import import_module
from types import ModuleType

from tissuemake.errors import InputError


def require(package: str, extra: str) -> ModuleType:
    """Import `package`.

    Raises
    ------
    InputError
        ``missing_extra``: names the extra and the conda environment that hold it.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise InputError(
            "missing_extra",
            f"The deconvolution method '{extra}' needs the package {package}, which cannot be imported "
            f"({error}).",
            f"Install it with: pip install 'tissuemake[{extra}]' (in an environment of its own), or run "
            f"Snakemake with --sdm conda, which uses envs/{extra}.yaml.",
        ) from error
