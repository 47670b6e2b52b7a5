"""Where things lie in a Space Ranger folder, whole, flattened or downloaded piece by piece."""

import json
from pathlib import Path

from tissuemake.errors import InputError

POSITIONS = (
    "tissue_positions.parquet",
    "tissue_positions.csv",
    "tissue_positions.csv.gz",
    "tissue_positions_list.csv",
    "tissue_positions_list.csv.gz",
)
MATRICES = (
    "filtered_feature_bc_matrix.h5",
    "filtered_feature_bc_matrix",
    "raw_feature_bc_matrix.h5",
    "raw_feature_bc_matrix",
)


def find_outs(path: Path, sample: str) -> Path:
    """The folder that holds matrix and ``spatial/``: `path`, its ``outs``, or its only section.

    Raises
    ------
    InputError
        ``several_sections`` with their names, ``unknown_layout``.
    """
    if is_matrix(path):
        return path.parent
    sections = [found for found in (path, path / "outs") if is_outs(found)]
    if sections:
        return sections[0]
    children = sorted(child for child in path.iterdir() if child.is_dir())
    sections = [found for child in children for found in (child, child / "outs") if is_outs(found)]
    if len(sections) == 1:
        return sections[0]
    if sections:
        raise _several(path, sample, [str(found.relative_to(path)) for found in sections])
    raise InputError(
        "unknown_layout",
        f"Sample '{sample}': {path} holds no Space Ranger output; there is"
        f" {', '.join(child.name for child in sorted(path.iterdir())[:8]) or 'nothing'}.",
        "Point the column path to the folder that holds a feature-barcode matrix and the folder spatial.",
    )


def is_matrix(path: Path) -> bool:
    """Whether the sheet points to a matrix itself, an h5 file or the folder of an mtx triple."""
    return path.is_file() or path.name.endswith(MATRICES)


def is_outs(folder: Path) -> bool:
    """Whether a feature-barcode matrix or a ``spatial`` folder lies directly in `folder`."""
    if not folder.is_dir():
        return False
    names = [child.name for child in folder.iterdir()]
    return "spatial" in names or any(name.endswith(MATRICES) for name in names)


def find(folders: list[Path], names: tuple[str, ...], sample: str, prefix: str = "") -> Path | None:
    """First of `names`, in their order, in the first folder that has one; a file name may carry a prefix.

    Raises
    ------
    InputError
        ``several_sections`` when prefixes tell of more than one section.
    """
    for folder in [folder for folder in folders if folder.is_dir()]:
        entries = {child.name: child for child in folder.iterdir() if not child.name.startswith(".")}
        for name in names:
            if prefix + name in entries:
                return entries[prefix + name]
            if name in entries:
                return entries[name]
            prefixed = sorted(
                entry for entry in entries if entry.endswith(("_" + name, "." + name, "-" + name))
            )
            if len(prefixed) > 1:
                raise _several(folder, sample, [entry.removesuffix(name) + "*" for entry in prefixed])
            if prefixed:
                return entries[prefixed[0]]
    return None


def find_matrix(path: Path, outs: Path, sample: str) -> Path:
    """The matrix to read: the file the sheet names, else filtered before raw and h5 before mtx."""
    if is_matrix(path):
        return path
    found = find([outs], MATRICES, sample)
    if found is None and all((outs / name).exists() for name in ("matrix.mtx.gz", "barcodes.tsv.gz")):
        found = outs  # some archives unpack the triple itself
    if found is None:
        raise InputError(
            "missing_matrix",
            f"Sample '{sample}': {outs} holds no feature-barcode matrix.",
            f"Add {MATRICES[0]} (or the folder {MATRICES[1]}, or the raw ones) from the Space Ranger output.",
        )
    return found


def spatial_folders(outs: Path) -> list[Path]:
    """Where positions and images may lie: ``spatial``, ``PREFIX_spatial``, or beside the matrix."""
    named = sorted(child for child in outs.iterdir() if child.is_dir() and child.name.endswith("_spatial"))
    nested = [folder / "spatial" for folder in named]
    return [folder for folder in (outs / "spatial", *named, *nested, outs) if folder.is_dir()]


def read_scalefactors(path: Path | None, where: str) -> dict[str, float]:
    """Numbers of ``scalefactors_json.json``; empty when the file is not there."""
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {key: float(value) for key, value in found.items() if isinstance(value, int | float)}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            "bad_scalefactors",
            f"{where} is not readable JSON ({error}).",
            "Copy it again from Space Ranger's output.",
        ) from error


def _several(folder: Path, sample: str, sections: list[str]) -> InputError:
    return InputError(
        "several_sections",
        f"Sample '{sample}': {folder} holds {len(sections)} sections: {', '.join(sections)}.",
        "Add one row per section and let each path point to that section's folder or matrix file.",
    )
