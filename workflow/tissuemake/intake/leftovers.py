"""What in a drop folder is no sample: said by folder and kind, with what to do about it."""

from collections import defaultdict
from pathlib import Path

from tissuemake.intake.candidates import ARCHIVES, TABLES, Loose, is_ten_x
from tissuemake.intake.outcomes import Outcome
from tissuemake.intake.pictures import is_picture
from tissuemake.intake.walk import Folder

# Code, what the files are, what to do.
KINDS = {
    "packed": ("packed, and may hold a sample", "Unpack it into a folder of the inbox."),
    "no_spots": (
        "a matrix without spots: single cells, or one of which the positions did not come",
        "If it is an atlas, add it to references.tsv; else put the folder spatial beside it.",
    ),
    "image_alone": (
        "images that the positions of no sample fit",
        "If one belongs to a sample, fill the column image of its row.",
    ),
    "spot_file": ("spot files without their counts", "Put the table of counts beside them."),
    "about_spots": (
        "tables about spots that are no counts (labels, proportions, clusters)",
        "If they are truth or labels, fill the columns labels or truth.",
    ),
    "unnamed_table": (
        "tables without spots named XxY",
        "If they are counts of an array, give the row by hand, with the column spots.",
    ),
    "no_sample": ("no spatial data", ""),
}
NAMED = 4


def explain_loose(
    root: Folder, loose: list[Loose], tables: dict[Path, str], explained: set[Path]
) -> list[Outcome]:
    """One outcome for each kind of file in a folder, and one for each thing refused that no sample holds."""
    outcomes = [
        Outcome(str(path), "left_out").explained(error, "left_out")
        for path, error in root.all_refused().items()
        if path not in explained
    ]
    groups: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for found in loose:
        path = found.entry.path
        groups[found.folder.path, _kind(path, tables.get(path, ""))].append(path)
    for (folder, kind), paths in sorted(groups.items()):
        what, remedy = KINDS[kind]
        names = ", ".join(path.name for path in paths[:NAMED]) + (", …" if len(paths) > NAMED else "")
        where = paths[0] if len(paths) == 1 else folder
        count = f"{len(paths)} files: " if len(paths) > 1 else ""
        outcomes.append(
            Outcome(str(where), "left_out", code=kind, message=f"{count}{what} ({names}).", remedy=remedy)
        )
    return outcomes


def _kind(path: Path, table: str) -> str:
    name = path.name.lower()
    if name.endswith(ARCHIVES):
        return "packed"
    if name.endswith((".h5", ".mtx", ".mtx.gz")):
        return "no_spots" if not name.endswith(".h5") or is_ten_x(path) else "no_sample"
    if is_picture(path):
        return "image_alone"
    if table:
        return "spot_file" if table == "spots" else "about_spots"
    return "unnamed_table" if name.endswith(TABLES) else "no_sample"
