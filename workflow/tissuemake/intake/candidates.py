"""What in a drop folder could be a sample: vendor folders by what lies in them, tables and stores by their name."""

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py

from tissuemake.errors import InputError
from tissuemake.ingest import space_ranger
from tissuemake.ingest.visium_hd import CELL_MATRICES, SEGMENTED, find_bins
from tissuemake.ingest.xenium import is_bundle
from tissuemake.intake.walk import Entry, Folder

# Folders that vendors write inside an output: nothing else is looked for in them.
VENDOR_FOLDERS = (
    "*spatial", "analysis*", "*_feature_bc_matrix", "*_feature_cell_matrix", "*binned_outputs", "*segmented_outputs",
    "square_*um", "deconvolution", "cell_feature_matrix", "morphology_*", "aux_outputs", "cloupe_*", "*.zarr",
)  # fmt: skip
SPATIAL_FILES = (
    "*tissue_positions*",
    "*scalefactors_json.json",
    "*tissue_hires_image.*",
    "*tissue_lowres_image.*",
)
BINS = ("8", "16", "2", SEGMENTED)  # which is proposed first
TABLES = (".tsv", ".tsv.gz", ".csv", ".csv.gz", ".txt", ".txt.gz")
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".7z", ".rar")
IMAGES = (
    ".tif", ".tiff", ".btf", ".svs", ".ndpi", ".scn", ".qptiff", ".mrxs", ".vms", ".bif", ".jpg", ".jpeg", ".png",
)  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """Something that a row of the sheet could read.

    Attributes
    ----------
    path
        What goes into the column path.
    home
        The folder that is the sample's own: its name, and images beside it.
    entries
        The files that must have stopped growing.
    suspect
        What was refused among them.
    """

    assay: str
    path: Path
    home: Path
    entries: tuple[Entry, ...]
    suspect: dict[Path, InputError] = field(default_factory=dict)
    spots: str = ""
    bin_um: str = ""
    stem: str = ""

    def loose(self) -> list[Entry]:
        """Files that lie in the folder itself, not in the vendor's folders."""
        return [entry for entry in self.entries if entry.path.parent == self.home]


@dataclass
class Loose:
    """A file that belongs to no vendor folder."""

    entry: Entry
    folder: Folder


def find_candidates(root: Folder) -> tuple[list[Candidate], list[Loose]]:
    """Vendor outputs, h5ad and SpatialData stores, and the files that are none of these."""
    candidates, loose = [], []
    for found in _look(root):
        (candidates if isinstance(found, Candidate) else loose).append(found)
    return candidates, loose


def _look(folder: Folder) -> Iterator[Candidate | Loose]:
    if folder.path.name.endswith(".zarr"):
        yield _whole("spatialdata", folder)
        return
    if _holds_bins(folder):
        bins = find_bins(folder.path)
        yield _whole("visium_hd", folder, bin_um=next((size for size in BINS if size in bins), "8"))
    elif is_bundle(folder.path):
        yield _whole("xenium", folder)
    elif sections := _sections(folder):
        yield from sections
    else:
        for entry in folder.files.values():
            yield _single(entry, folder)
        for child in folder.folders.values():
            yield from _look(child)
        return
    for name, child in folder.folders.items():
        if not _is_vendors(name):
            yield from _look(child)


def _is_vendors(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in VENDOR_FOLDERS)


def _whole(assay: str, folder: Folder, **more: str) -> Candidate:
    """The folder with its files and the vendor's folders in it."""
    entries, suspect = list(folder.files.values()), dict(folder.refused)
    for name, child in folder.folders.items():
        if _is_vendors(name) or assay == "spatialdata":
            entries += child.entries()
            suspect |= child.all_refused()
    return Candidate(assay, folder.path, folder.path, tuple(entries), suspect, **more)


def _single(entry: Entry, folder: Folder) -> Candidate | Loose:
    name = entry.path.name
    if name.endswith(".h5ad"):
        return Candidate("h5ad", entry.path, folder.path, (entry,), stem=name.removesuffix(".h5ad"))
    if name.endswith(".zarr.zip"):
        return Candidate(
            "spatialdata", entry.path, folder.path, (entry,), stem=name.removesuffix(".zarr.zip")
        )
    return Loose(entry, folder)


def _holds_bins(folder: Folder) -> bool:
    for name, child in folder.folders.items():
        bins = [name] if fnmatch.fnmatch(name, "square_*um") else []
        bins += list(child.folders) if name.endswith("binned_outputs") else []
        if any(fnmatch.fnmatch(each, "square_[0-9]*um") for each in bins) or name.endswith(
            "segmented_outputs"
        ):
            return True
    return any(name.endswith(CELL_MATRICES) for name in (*folder.files, *folder.folders))


def _sections(folder: Folder) -> list[Candidate]:
    """Visium sections whose matrix lies in `folder`: one, or several told apart by the prefix of their names."""
    names = [name for name in (*folder.files, *folder.folders) if name.endswith(space_ranger.MATRICES)]
    prefixes = {_prefix(name) for name in names}
    if not _has_spatial(folder):
        return []
    if not names:
        # A matrix under another name is known by what is in it; the triple of an mtx may lie open.
        others = [name for name in folder.files if name.endswith(".h5") and is_ten_x(folder.files[name].path)]
        if len(others) == 1:
            found = _whole("visium", folder)
            return [
                Candidate("visium", folder.files[others[0]].path, found.home, found.entries, found.suspect)
            ]
    if len(prefixes) <= 1:
        return [_whole("visium", folder)]
    return [_one_of_several(folder, prefix, names) for prefix in sorted(prefixes)]


def _one_of_several(folder: Folder, prefix: str, names: list[str]) -> Candidate:
    own = [name for name in names if _prefix(name) == prefix]
    best = min(own, key=lambda name: next(i for i, m in enumerate(space_ranger.MATRICES) if name.endswith(m)))
    parts = [entry for name, entry in folder.files.items() if name.startswith(prefix)]
    suspect = {path: error for path, error in folder.refused.items() if path.name.startswith(prefix)}
    for name, child in folder.folders.items():
        if name.startswith(prefix):
            parts += child.entries()
            suspect |= child.all_refused()
    stem = prefix.strip("_.-")
    return Candidate("visium", folder.path / best, folder.path, tuple(parts), suspect, stem=stem)


def _prefix(name: str) -> str:
    return next(name.removesuffix(matrix) for matrix in space_ranger.MATRICES if name.endswith(matrix))


def _has_spatial(folder: Folder) -> bool:
    """Whether positions or what lies beside them in Space Ranger's folder ``spatial`` are in reach."""
    near = [folder, *(child for name, child in folder.folders.items() if name.endswith("spatial"))]
    near += [child for one in near[1:] for name, child in one.folders.items() if name == "spatial"]
    names = [name for one in near for name in (*one.files, *(path.name for path in one.refused))]
    return any(fnmatch.fnmatch(name, pattern) for name in names for pattern in SPATIAL_FILES)


def is_ten_x(path: Path) -> bool:
    """Whether an h5 file holds a feature-barcode matrix of 10x Genomics."""
    try:
        with h5py.File(path) as handle:
            return {"barcodes", "features", "indptr"} <= set(handle.get("matrix", ()))
    except (OSError, TypeError):
        return False
