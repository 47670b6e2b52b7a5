"""What became of everything in a drop folder: taken, waiting, known already or left out, and why."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tissuemake.errors import InputError


@dataclass
class Outcome:
    """What became of something in the inbox.

    Attributes
    ----------
    state
        ``taken``, ``waiting``, ``known`` (a row reads it already) or ``left_out``.
    sample
        The row that it became, or that it equals.
    code, message, remedy
        Why it waits or was left out; of what was taken, what a person should look over.
    proposal
        Guesses of what was taken, each with how sure it is and why.
    """

    path: str
    state: str
    assay: str = ""
    sample: str = ""
    code: str = ""
    message: str = ""
    remedy: str = ""
    row: dict = field(default_factory=dict)
    proposal: dict = field(default_factory=dict)

    def with_(self, **changes: object) -> "Outcome":
        """The same with `changes`."""
        return replace(self, **changes)

    def explained(self, error: InputError, state: str) -> "Outcome":
        """The same with the words of an error."""
        return replace(self, state=state, code=error.code, message=error.message, remedy=error.remedy)


@dataclass
class ScanResult:
    """What a scan found; `seconds` it took."""

    taken: list[Outcome] = field(default_factory=list)
    waiting: list[Outcome] = field(default_factory=list)
    known: list[Outcome] = field(default_factory=list)
    left_out: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Put an outcome where its state says."""
        getattr(self, outcome.state).append(outcome)

    def nothing_readable(self) -> bool:
        """Whether samples are there and every one of them was left out because it could not be read."""
        seen = [outcome for outcome in self if outcome.assay]
        return (
            bool(seen) and all(outcome.state == "left_out" for outcome in seen) and not self.left_out_known()
        )

    def left_out_known(self) -> list[Outcome]:
        """What was left out because a row holds or held it."""
        return [outcome for outcome in self.left_out if outcome.code in ("duplicate", "removed")]

    def __iter__(self) -> Iterator[Outcome]:
        """All outcomes: what is new first."""
        return iter([*self.taken, *self.waiting, *self.left_out, *self.known])


def duplicate(name: str) -> InputError:
    """Why a sample that a row of the sheet equals is left out."""
    return InputError(
        "duplicate",
        f"It holds the same counts as the sample {name}, under another name.",
        "Nothing to do. If both are meant, add the row by hand.",
    )


def removed(name: str) -> InputError:
    """Why a sample that a person took out of the sheet is left out."""
    return InputError(
        "removed",
        f"It was taken before as {name}, and a person took that row out of the sheet.",
        "Nothing to do. To have it back, add the row by hand, or delete config/inbox.json.",
    )


def is_reference(name: str) -> InputError:
    """Why an atlas of the run is left out."""
    return InputError("reference", f"It is the reference {name} of this run.", "")


def own_result(path: Path) -> InputError:
    """Why what this workflow wrote is left out."""
    return InputError(
        "own_result",
        f"{path.name} was written by tissuemake: a result, no instrument's output.",
        "Nothing to do. If it is meant as a sample, add the row by hand.",
    )


def without_coordinates(path: Path) -> InputError:
    """Why an h5ad without places is left out."""
    return InputError(
        "no_coordinates",
        f"{path.name} holds no coordinates (obsm['spatial'], or x and y in obs): single cells, not a section.",
        "If it is an atlas, add it to references.tsv.",
    )


def unexpected(path: Path, error: Exception) -> InputError:
    """Why a file that made a library fail is left out."""
    return InputError(
        "unreadable",
        f"{path.name} cannot be read ({type(error).__name__}: {str(error)[:200]}).",
        "Copy it again from where the instrument's software wrote it; if it stays so, report this.",
    )
