"""Which images of a drop folder lie in reach of which sample: in its folder, or beside it under its name."""

from collections import defaultdict
from functools import cache
from pathlib import Path

from tissuemake.intake.candidates import Candidate
from tissuemake.intake.naming import GENERIC_FOLDERS
from tissuemake.intake.spot_tables import kinship, stem
from tissuemake.intake.walk import Entry

CLIMB = 2  # levels above a folder like `outs` or `counts`


class Beside:
    """Images by folder, and samples by the folders above them; built once for all samples of a scan."""

    def __init__(self, images: list[Entry], candidates: list[Candidate]) -> None:
        self.images: dict[Path, list[Entry]] = defaultdict(list)
        self.children: dict[Path, set[Path]] = defaultdict(set)
        for entry in images:
            self.images[entry.path.parent].append(entry)
            self.children[entry.path.parent.parent].add(entry.path.parent)
        self.below: dict[Path, list[Candidate]] = defaultdict(list)
        for candidate in candidates:
            for folder in (candidate.home, *candidate.home.parents):
                self.below[folder].append(candidate)
        self._owners: dict[tuple[Path, Path], Candidate | None] = {}

    def of(self, candidate: Candidate) -> list[Entry]:
        """Images that may be this sample's.

        All in its own folder and the folders in that, if no other sample lies there; else, and of those in the
        folder above and in folders beside that hold no sample, the ones whose name is more like this sample's
        than like any other's.
        """
        places = _places(candidate)
        home = places[-1]
        near = list(dict.fromkeys(folder for place in places for folder in (place, *self._inside(place))))
        alone = len(self.below[home]) == 1
        found = [
            entry
            for folder in near
            for entry in self.images.get(folder, ())
            if alone or self._owner(entry, home) is candidate
        ]
        above = home.parent
        away = [above, *(folder for folder in self._inside(above) if not self.below.get(folder))]
        found += [
            entry
            for folder in away
            if folder not in near
            for entry in self.images.get(folder, ())
            if self._owner(entry, above) is candidate
        ]
        return found

    def _inside(self, folder: Path) -> list[Path]:
        return sorted(self.children.get(folder, ()))

    def _owner(self, entry: Entry, folder: Path) -> Candidate | None:
        """Of the samples below `folder` the one whose name shares most with the image's; None where two share it."""
        key = (entry.path, folder)
        if key not in self._owners:
            own = stem(entry.path)
            scores = [
                (kinship(called(candidate), own), candidate) for candidate in self.below.get(folder, ())
            ]
            best = max((score for score, _ in scores), default=0)
            first = [candidate for score, candidate in scores if score == best and best > 0]
            self._owners[key] = first[0] if len(first) == 1 else None
        return self._owners[key]


def _places(candidate: Candidate) -> list[Path]:
    """The sample's folder, and those above it as long as their names do not say whose they are."""
    places = [candidate.home]
    for _ in range(CLIMB):
        if places[-1].name.lower() in GENERIC_FOLDERS:
            places.append(places[-1].parent)
    return places


@cache
def _named(home: Path) -> str:
    while home.name.lower() in GENERIC_FOLDERS:
        home = home.parent
    return home.name


def called(candidate: Candidate) -> str:
    """The name by which a sample's images are looked for."""
    return candidate.stem or _named(candidate.home)
