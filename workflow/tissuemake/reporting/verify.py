"""Is a delivery still what its manifest says: every file by its hash, none missing, none added, and the h5ad opens?"""

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import h5py

from tissuemake import files

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file of a delivery.

    Attributes
    ----------
    path
        The file, as the manifest or the folder names it.
    code
        ``no_manifest``, ``bad_manifest``, ``outside``, ``missing``, ``changed``, ``extra``, ``unreadable``,
        ``wrong_size`` or ``input_changed``.
    message
        What is wrong, for a person.
    """

    path: str
    code: str
    message: str


def verify_delivery(folder: str | Path, *, inputs: bool = False, run: str | Path = ".") -> list[Problem]:
    """Check a delivery against its own manifest; nothing in it is executed, and nothing outside it is read.

    Parameters
    ----------
    folder
        ``results/delivery/SAMPLE``, or a copy of it anywhere.
    inputs
        Also hash the inputs that the manifest names, where they can be reached; those that cannot are passed over.
    run
        Where relative paths of inputs start: the folder in which the workflow ran.

    Returns
    -------
    list of Problem
        Empty when all is well.
    """
    folder = Path(folder)
    try:
        manifest = read_manifest(folder)
    except (OSError, ValueError) as error:
        absent = isinstance(error, FileNotFoundError | NotADirectoryError)
        said = (
            "there is none: the delivery is unfinished, or no delivery" if absent else f"not usable: {error}"
        )
        return [Problem(MANIFEST, "no_manifest" if absent else "bad_manifest", said)]
    problems = [*_check_outputs(folder, manifest), *_find_extra(folder, manifest)]
    if not any(problem.path.endswith(".h5ad") for problem in problems):
        problems += _check_spots(folder, manifest)
    return [*problems, *(_check_inputs(manifest, Path(run)) if inputs else ())]


def read_manifest(folder: Path) -> dict:
    """Read and check the parts of a manifest that are relied on; ValueError says what is wrong with it."""
    path = folder / MANIFEST
    if path.is_symlink():
        raise ValueError("it is a link")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(manifest, dict):
        raise ValueError("it holds no object")
    for part in ("inputs", "outputs"):
        entries = manifest.get(part)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"'{part}' is no list of files")
        for entry in entries:
            if not isinstance(entry.get("path"), str) or not isinstance(entry.get("sha256"), str):
                raise ValueError(f"a file of '{part}' lacks path or sha256")
    if not manifest["outputs"]:
        raise ValueError("it names no file")
    return manifest


def _check_outputs(folder: Path, manifest: dict) -> Iterator[Problem]:
    seen = set()
    for entry in manifest["outputs"]:
        name = entry["path"]
        path = folder / name
        if name in seen:
            yield Problem(name, "bad_manifest", "the manifest names it twice")
        elif not stays_inside(folder, name):
            yield Problem(name, "outside", "this path leaves the delivery; it was not opened")
        elif not path.is_file():
            yield Problem(name, "missing", "the manifest names it, and it is not there")
        elif (digest := files.sha256(path)) != entry["sha256"]:
            said = f"sha256 {digest[:12]}…, expected {entry['sha256'][:12]}… ({path.stat().st_size:,} bytes, "
            yield Problem(name, "changed", f"{said}expected {entry.get('bytes', '?')})")
        elif said := _cannot_open(path):
            yield Problem(name, "unreadable", said)
        seen.add(name)


def stays_inside(folder: Path, name: str) -> bool:
    """Whether `name` is a plain relative path below `folder`, on any system, and no link on its way leads elsewhere."""
    parts = PurePosixPath(name).parts
    plain = parts and not PurePosixPath(name).is_absolute() and not PureWindowsPath(name).drive
    if not plain or ".." in parts or "\\" in name or "\0" in name:
        return False
    steps = [folder.joinpath(*parts[: i + 1]) for i in range(len(parts))]
    return not any(step.is_symlink() for step in steps)


def _find_extra(folder: Path, manifest: dict) -> Iterator[Problem]:
    named = {MANIFEST, *(PurePosixPath(entry["path"]).as_posix() for entry in manifest["outputs"])}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in named and (path.is_symlink() or not path.is_dir()):
            yield Problem(name, "extra", "the manifest does not name it")


def _cannot_open(path: Path) -> str:
    """Why a file that has its hash is of no use all the same; empty when it opens."""
    try:
        if path.suffix == ".h5ad":
            observations(path)
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                archive.getinfo("zarr.json")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        return f"it does not open ({type(error).__name__}: {error})"
    return ""


def observations(path: Path) -> int:
    """Number of rows of an ``.h5ad`` whose annotations and matrix have the same; only shapes are read."""
    with h5py.File(path) as file:
        obs = file["obs"]
        rows = len(obs[obs.attrs["_index"]])
        x = file["X"]
        shape = x.shape if isinstance(x, h5py.Dataset) else tuple(x.attrs["shape"])
    if shape[0] != rows:
        raise ValueError(f"{rows} rows of annotation, {shape[0]} of the matrix")
    return rows


def _check_spots(folder: Path, manifest: dict) -> Iterator[Problem]:
    name, expected = f"{manifest.get('sample')}.h5ad", manifest.get("spots")
    if name not in {entry["path"] for entry in manifest["outputs"]}:
        yield Problem(name, "bad_manifest", "the manifest does not name the sample's own h5ad")
    elif expected is not None and (found := observations(folder / name)) != expected:
        yield Problem(name, "wrong_size", f"it holds {found:,} spots, the manifest says {expected!r}")


def _check_inputs(manifest: dict, run: Path) -> Iterator[Problem]:
    for entry in manifest["inputs"]:
        path = run / entry["path"]
        if path.is_file() and (digest := files.sha256(path)) != entry["sha256"]:
            said = f"sha256 {digest[:12]}…, the delivery was made of {entry['sha256'][:12]}…"
            yield Problem(entry["path"], "input_changed", said)
