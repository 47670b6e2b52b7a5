"""Names for samples out of the names of folders: fit for wildcards, files and pages, and each given once."""

import re
import unicodedata
from collections.abc import Collection
from pathlib import Path

LONGEST = 48  # of the 64 that a sheet allows: room for a suffix
SHORT = 4  # a name this short says little: the folder above is put before it
# Folders whose name says what lies in them, not whose it is.
GENERIC_FOLDERS = {
    "outs", "out", "output", "outputs", "spaceranger", "xenium", "visium", "visium_hd", "st", "data", "counts", "count",
    "spatial", "binned_outputs", "segmented_outputs", "filtered_feature_bc_matrix", "results", "images", "image", "he",
    "square_002um", "square_008um", "square_016um", "matrix", "raw", "run", "bundle", "sample", "samples",
}  # fmt: skip
_GENERIC_STEM = re.compile(
    r"^(counts?|matrix|table|data|adata|ingested|filtered|sample|stdata)?$", re.IGNORECASE
)


def propose_name(home: Path, inbox: Path, stem: str) -> str:
    """A name from the file's stem or the lowest folder that says whose it is; a short one with the folder above."""
    parts = [part for part in home.relative_to(inbox).parts if part.lower() not in GENERIC_FOLDERS]
    if stem and not _GENERIC_STEM.match(stem):
        parts.append(stem)
    parts = parts or [*home.relative_to(inbox).parts, inbox.name][:1]
    parts = [part for part in map(safe, parts) if part] or ["sample"]
    name = parts[-1] if len(parts[-1]) > SHORT else "_".join(parts[-2:])
    return safe(name)[-LONGEST:].lstrip("._-")


def safe(text: str) -> str:
    """`text` in letters, digits, dots, dashes and underscores; umlauts lose their dots, the rest becomes a dash."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("._-")


def unique(name: str, taken: Collection[str]) -> str:
    """`name`, or with the first of ``_2``, ``_3``, … that is free; capitals do not make a name another."""
    used = {other.lower() for other in taken}
    number, proposed = 1, name
    while proposed.lower() in used:
        number += 1
        proposed = f"{name}_{number}"
    return proposed
