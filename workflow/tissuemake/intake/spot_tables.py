"""Loose tables of a drop folder: which are counts of Spatial Transcriptomics arrays, and which spot file is whose."""

import gzip
import re
import zlib
from functools import lru_cache
from pathlib import Path

from tissuemake.ingest.spatial_transcriptomics import SPOT_NAME
from tissuemake.intake.candidates import TABLES, Candidate, Loose

HEAD_BYTES = 4 << 20
ROWS = 20
FEWEST_GENES = 50
SPOT_COLUMNS = {"x", "y", "new_x", "new_y", "pixel_x", "pixel_y", "selected"}
# Words of file names that say what a file is, not whose it is.
GENERIC = {
    "alignment", "counts", "count", "data", "file", "genenames", "genes", "he", "image", "matrix", "masked",
    "selection", "spot", "spots", "st", "stdata", "table", "tissue", "coordinates", "unified",
}  # fmt: skip


def stem(path: Path) -> str:
    """The name without the endings of tables and pictures."""
    name = path.name.removesuffix(".gz")
    return name.rsplit(".", 1)[0] if "." in name[1:] else name


@lru_cache(maxsize=1 << 16)
def words(text: str) -> tuple[str, ...]:
    """Parts of a name that say whose it is, in their order."""
    return tuple(word for word in re.split(r"[^a-z0-9]+", text.lower()) if word and word not in GENERIC)


def kinship(of: str, other: str) -> int:
    """How much two names share: a point a word, another when both begin with it."""
    left, right = words(of), words(other)
    shared = set(left) & set(right)
    return len(shared) + (bool(left) and bool(right) and left[0] == right[0])


def kind_of_table(path: Path) -> str:
    """``counts``, ``spots``, ``by spot`` (something else about spots) or empty, from the first rows."""
    try:
        lines = _head(path)
    except (OSError, EOFError, ValueError, zlib.error):
        return ""
    if len(lines) < 2:
        return ""
    separator = max("\t,;", key=lines[0].count)
    header, *rows = [[cell.strip().strip('"') for cell in line.split(separator)] for line in lines]
    names = {name.lower() for name in header}
    if {"x", "y"} <= names <= SPOT_COLUMNS:
        return "spots"
    values = [cell for row in rows for cell in row[1:]]
    if _are_spots([row[0] for row in rows]):
        by_spot, columns = True, len(rows[0]) - 1
    else:
        by_spot, columns = _are_spots(header[1:]), FEWEST_GENES
    if not by_spot:
        return ""
    return "counts" if columns >= FEWEST_GENES and _are_whole(values) else "by spot"


def _head(path: Path) -> list[str]:
    """The first whole lines of a table, from at most 4 MB of text."""
    with path.open("rb") as handle:
        packed = handle.read(2) == b"\x1f\x8b"
    with (gzip.open if packed else open)(path, "rb") as handle:
        text = handle.read(HEAD_BYTES)
    lines = text.decode("utf-8-sig").splitlines()[: ROWS + 1]
    return lines[:-1] if len(text) == HEAD_BYTES and len(lines) <= ROWS else lines


def _are_spots(names: list[str]) -> bool:
    fit = [bool(re.match(SPOT_NAME, name)) for name in names]
    return len(fit) > 0 and sum(fit) >= 0.9 * len(fit)


def _are_whole(values: list[str]) -> bool:
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return False
    return all(number == int(number) and number >= 0 for number in numbers)


def find_arrays(loose: list[Loose]) -> tuple[list[Candidate], dict[Path, str]]:
    """Count tables with their spot files, and what every other table of spots is.

    A spot file lies beside its counts, or in a neighbouring folder, and shares a word of its name; where one
    table of counts and one spot file lie in a folder, they need not share one.
    """
    kinds = {}
    for found in loose:
        if found.entry.path.name.lower().endswith(TABLES):
            kinds[found.entry.path] = kind_of_table(found.entry.path)
    tables = [found for found in loose if kinds.get(found.entry.path) == "counts"]
    spot_files = [found for found in loose if kinds.get(found.entry.path) == "spots"]
    candidates = []
    for table in tables:
        near = [
            found
            for found in spot_files
            if table.folder.path in (found.folder.path, found.folder.path.parent)
            or table.folder.path.parent in (found.folder.path, found.folder.path.parent)
        ]
        spots = _best(table, near, tables)
        entries = (table.entry, *([spots.entry] if spots else []))
        candidates.append(
            Candidate(
                "st",
                table.entry.path,
                table.folder.path,
                entries,
                stem=stem(table.entry.path),
                spots=str(spots.entry.path) if spots else "",
            )
        )
    return candidates, {path: kind for path, kind in kinds.items() if kind not in ("counts", "")}


def _best(table: Loose, near: list[Loose], tables: list[Loose]) -> Loose | None:
    own = stem(table.entry.path)
    scores = [kinship(own, stem(found.entry.path)) for found in near]
    best = [found for found, score in zip(near, scores, strict=True) if score and score == max(scores)]
    if len(best) == 1:
        return best[0]
    here = [found for found in near if found.folder is table.folder]
    alone = sum(other.folder is table.folder for other in tables) == 1
    return here[0] if not best and alone and len(here) == 1 else None
