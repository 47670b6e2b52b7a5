"""Ground floor: what stands behind a path in a sheet: a local file, a URL, or a simulated tissue.

A cell of a sheet may hold

* a path, relative to the run folder, environment variables expanded;
* one or more URLs separated by blanks, each optionally pinned: ``https://…/x.h5#sha256=<64 hex digits>``.
  They are fetched into one folder and archives are unpacked there;
* ``simulated://NAME/part``: a part of the tissue that the rule ``simulate_tissue`` makes.

Naming is pure: it never touches disk or network, so that Snakemake can plan with it.
"""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

SIMULATED = "simulated://"
SIMULATED_TISSUES = ("layered", "glandular", "infiltrated")
_URL = re.compile(r"^https?://\S+$")
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")
ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")


def is_remote(cell: str) -> bool:
    """Whether `cell` is a list of URLs."""
    return bool(cell.split()) and all(_URL.match(part) for part in cell.split())


def is_simulated(cell: str) -> bool:
    """Whether `cell` names a part of a simulated tissue."""
    return cell.startswith(SIMULATED)


def split_url(url: str) -> tuple[str, str]:
    """Split ``URL#sha256=HEX`` into the URL and the hash, which is empty when not given."""
    address, _, fragment = url.partition("#")
    return address, fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else ""


def file_name(url: str) -> str:
    """The last part of the URL's path, as a safe file name."""
    name = unquote(urlsplit(url).path).rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "download"


def key(cell: str) -> str:
    """A short stable name for what `cell` points to, fit for a file name."""
    return hashlib.sha256(" ".join(cell.split()).encode()).hexdigest()[:12]


def receipt(cell: str, results: str = "results") -> str:
    """The file that says a remote or simulated source is there; empty for local paths."""
    if is_remote(cell):
        return f"{results}/downloads/{key(cell)}.json"
    if is_simulated(cell):
        return f"{results}/simulated/{simulated_name(cell)}/truth.json"
    return ""


def local_path(cell: str, results: str = "results") -> str:
    """Where the source lies, or will lie, on this machine; empty stays empty."""
    if is_remote(cell):
        folder = f"{results}/downloads/{key(cell)}"
        address, _ = split_url(cell.split()[0])
        single = len(cell.split()) == 1 and not file_name(address).endswith(ARCHIVES)
        return f"{folder}/{file_name(address)}" if single else folder
    if is_simulated(cell):
        return f"{results}/simulated/{cell.removeprefix(SIMULATED)}"
    return str(Path(os.path.expandvars(cell))) if cell else ""


def simulated_name(cell: str) -> str:
    """The tissue that ``simulated://NAME/part`` names."""
    return cell.removeprefix(SIMULATED).split("/", 1)[0]


def unset_variables(path: str | Path) -> str:
    """The beginning of a remedy for a located path in which an environment variable was not set, or nothing."""
    names = [name.strip("{}") for name in _VARIABLE.findall(str(path))]
    if not names:
        return ""
    are = "variable is" if len(names) == 1 else "variables are"
    return f"The environment {are} not set: {', '.join(dict.fromkeys(names))}. Set it and run again. "
