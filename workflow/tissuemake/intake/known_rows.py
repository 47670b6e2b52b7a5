"""The rows that stand in the sheet already: which of them reads a folder, and which holds the same section."""

from collections import defaultdict
from pathlib import Path

from tissuemake.errors import InputError
from tissuemake.ingest import open_reader
from tissuemake.intake.candidates import Candidate
from tissuemake.intake.identity import Identity, identify, state_of
from tissuemake.intake.memory import Memory
from tissuemake.intake.sheet import read_cells
from tissuemake.quality.matrix_checks import read_matrix
from tissuemake.sheets import PATH_COLUMNS, Sample, Sheet

ABOVE, BELOW = 2, 4  # levels by which a row's path may lie above what it reads, or within


class KnownRows:
    """Rows of the sheet by where their paths lead, and by what their files hold.

    ``names`` are those that are given; ``files`` all that a row names, whatever for.
    """

    def __init__(self, run: Path, path: Path, sheet: Sheet, memory: Memory) -> None:
        self.run, self.sheet, self.memory = run, sheet, memory
        self.names: set[str] = set()
        self.at: dict[Path, str] = {}
        self.within: dict[Path, str] = {}
        self.files: set[Path] = set()
        for row in read_cells(path):
            name = row.get("sample", "")
            self.names.add(name)
            cells = {column: row.get(column, "") for column in PATH_COLUMNS}
            places = {key: located(cell, run) for key, cell in cells.items() if cell and "://" not in cell}
            self.files |= set(places.values())
            if "path" in places:
                self.at.setdefault(places["path"], name)
                for folder in places["path"].parents[:BELOW]:
                    self.within.setdefault(folder, name)
        self._identities: dict[str, Identity] | None = None

    def reading(self, candidates: list[Candidate]) -> dict[Path, str]:
        """The row whose path leads to a candidate, by the candidate's path.

        A row may name a folder above (if nothing else lies in that), or a matrix or bin folder within.
        """
        below: dict[Path, int] = defaultdict(int)
        for candidate in candidates:
            for folder in candidate.path.parents[:ABOVE]:
                below[folder] += 1
        return {candidate.path: name for candidate in candidates if (name := self._reading(candidate, below))}

    def _reading(self, candidate: Candidate, below: dict[Path, int]) -> str:
        path = candidate.path
        if path in self.at:
            return self.at[path]
        if path != candidate.home:
            return ""
        above = [folder for folder in path.parents[:ABOVE] if folder in self.at and below[folder] == 1]
        return self.at[above[0]] if above else self.within.get(path, "")

    def compare(self, identity: Identity) -> tuple[str, str]:
        """The row with the same counts, and the first with the same places; empty where there is none."""
        known = self.identities()
        same = next((name for name, other in known.items() if other.counts == identity.counts), "")
        places = identity.places
        again = next((name for name, other in known.items() if places and other.places == places), "")
        return same, again

    def add(self, name: str, identity: Identity, files: list[Path]) -> None:
        """Hold what was taken just now."""
        self.names.add(name)
        self.identities()[name] = identity
        self.memory.rows[name] = {"state": state_of(files), **identity.as_dict()}

    def identities(self) -> dict[str, Identity]:
        """Of every row whose files are here: remembered, or read where they changed since."""
        if self._identities is None:
            read = {name: self._identity(name, row) for name, row in self.sheet.rows.items()}
            self._identities = {name: identity for name, identity in read.items() if identity}
        return self._identities

    def _identity(self, name: str, row: Sample) -> Identity | None:
        # Without the image, as when it was taken: it moves the positions of Xenium cells.
        cells = {**row.located(str(self.run / "results")).as_dict(), "image": "", "alignment": ""}
        cells |= {key: str(located(cells[key], self.run)) for key in ("path", "spots") if cells[key]}
        known = self.memory.rows.get(name, {})
        try:
            if not Path(cells["path"]).exists():
                return None
            reader = open_reader(Sample(**cells))
            state = state_of(reader.files())
            if known.get("state") != state:
                identity = identify(reader, *read_matrix(reader))
                known = self.memory.rows[name] = {"state": state, **identity.as_dict()}
        except (InputError, OSError):
            return None  # the check of that sample says what is wrong with it
        return Identity(known["counts"], known["places"])


def located(cell: str, run: Path) -> Path:
    """Where the path of a sheet's cell lies: relative ones start at the run folder."""
    path = Path(Sample("x", "x", cell).located(str(run / "results")).path)
    return (path if path.is_absolute() else run / path).resolve()
