"""Ground floor: the two sheets a person fills in. A row that cannot run is set aside with its reason."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import pandas as pd

from tissuemake import sources
from tissuemake.errors import InputError

ASSAYS = ("visium", "visium_hd", "xenium", "st", "h5ad", "spatialdata")
ORGANISMS = ("human", "mouse")
BINS = ("2", "8", "16", "segmented")
# Names become folder names, wildcards and HTML: letters, digits, dot, dash, underscore; no leading dot.
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
PATH_COLUMNS = ("path", "spots", "image", "alignment", "labels", "truth")


@dataclass(frozen=True)
class Sample:
    """One row of ``samples.tsv``; empty cells are empty strings (``mpp``: None)."""

    sample: str
    assay: str
    path: str
    spots: str = ""
    bin_um: str = ""
    image: str = ""
    mpp: float | None = None
    alignment: str = ""
    organism: str = ""
    tissue: str = ""
    donor: str = ""
    slide: str = ""
    reference: str = ""
    pretrain: bool = False
    labels: str = ""
    truth: str = ""

    def as_dict(self) -> dict:
        """The row as plain values, fit for Snakemake params and JSON."""
        return asdict(self)

    def located(self, results: str = "results") -> "Sample":
        """The same row with every path where it lies on this machine."""
        paths = {column: sources.local_path(getattr(self, column), results) for column in PATH_COLUMNS}
        return Sample(**{**self.as_dict(), **paths})


@dataclass(frozen=True)
class Reference:
    """One row of ``references.tsv``. `label_key`: columns from coarse to fine, separated by ``>``."""

    reference: str
    path: str
    label_key: str
    organism: str
    labels: str = ""
    donor_key: str = ""

    def as_dict(self) -> dict:
        """The row as plain values."""
        return asdict(self)

    def located(self, results: str = "results") -> "Reference":
        """The same row with every path where it lies on this machine."""
        paths = {column: sources.local_path(getattr(self, column), results) for column in ("path", "labels")}
        return Reference(**{**self.as_dict(), **paths})


@dataclass(frozen=True)
class Sheet:
    """Rows that can run by name, and those set aside: safe name → finding of ``check.json``."""

    rows: dict = field(default_factory=dict)
    rejected: dict[str, dict] = field(default_factory=dict)


def target_organism(reference: Reference, samples: Iterable[Sample]) -> str:
    """The organism whose gene names the prepared reference should carry.

    That of the samples that use it, where every one of them states it and all are of one; else its own:
    who adds a sample of another organism, or of none, must not turn the reference away from the others.
    """
    stated = {row.organism for row in samples if row.reference == reference.reference}
    return stated.pop() if len(stated) == 1 and "" not in stated else reference.organism


def read_samples(path: str | Path, references: set[str] = frozenset()) -> Sheet:
    """Read ``samples.tsv``.

    Raises
    ------
    InputError
        ``unknown_column``, ``missing_column``, ``empty_sheet``, ``missing_sheet``: nothing can run.
        A bad row is no error: it is in ``Sheet.rejected``.
    """
    table = _read_sheet(path, Sample, required=("sample", "assay", "path"))
    counted = table["sample"].value_counts()
    sheet = Sheet()
    for line, row in zip(table.index, table.to_dict("records"), strict=True):
        try:
            _check_name(row["sample"], "sample", path, line)
            if counted[row["sample"]] > 1:
                raise InputError(
                    "duplicate_sample",
                    f"{path} line {line}: sample '{row['sample']}' stands {counted[row['sample']]} times.",
                    "Give every sample a name of its own.",
                )
            sheet.rows[row["sample"]] = _sample(row, path, line, references)
        except InputError as error:
            raw = row["sample"]
            usable = re.fullmatch(NAME, raw) and counted[raw] == 1
            sheet.rejected[raw if usable else f"line-{line}"] = {**error.finding(), "sample": raw}
    return sheet


def read_references(path: str | Path) -> Sheet:
    """Read ``references.tsv``; errors as in `read_samples`, but an empty sheet is allowed."""
    required = ("reference", "path", "label_key", "organism")
    table = _read_sheet(path, Reference, required=required, may_be_empty=True)
    sheet = Sheet()
    for line, row in zip(table.index, table.to_dict("records"), strict=True):
        where = f"{path} line {line}: reference '{row['reference']}'"
        _check_name(row["reference"], "reference", path, line)
        if row["reference"] in sheet.rows:
            raise InputError("duplicate_reference", f"{where} stands twice.", "Give each a name of its own.")
        for column in required:
            if not row[column]:
                raise InputError("missing_value", f"{where} has no {column}.", f"Fill the column {column}.")
        _check_choice(row["organism"], "organism", ORGANISMS, where)
        sheet.rows[row["reference"]] = Reference(**row)
    return sheet


def _sample(row: dict, path: str | Path, line: int, references: set[str]) -> Sample:
    where = f"{path} line {line}: sample '{row['sample']}'"
    for column in ("assay", "path"):
        if not row[column]:
            raise InputError("missing_value", f"{where} has no {column}.", f"Fill the column {column}.")
    _check_choice(row["assay"], "assay", ASSAYS, where)
    _check_choice(row["organism"], "organism", ("", *ORGANISMS), where)
    _check_choice(row["bin_um"], "bin_um", ("", *BINS), where)
    _check_choice(row["pretrain"].lower(), "pretrain", ("", "yes", "no"), where)
    _check_choice(row["reference"], "reference", ("", *sorted(references)), where)
    for column in PATH_COLUMNS:
        check_source(row[column], column, where)
    row = {**row, "pretrain": row["pretrain"].lower() == "yes", "mpp": _mpp(row["mpp"], where)}
    if row["assay"] == "visium_hd" and not row["bin_um"]:
        row["bin_um"] = "8"
    return Sample(**row)


def check_source(cell: str, column: str, where: str) -> None:
    """Raise ``unknown_simulation`` or ``bad_hash`` for a path that can be told wrong by its text alone."""
    tissues = sources.SIMULATED_TISSUES
    if sources.is_simulated(cell) and sources.simulated_name(cell) not in tissues:
        raise InputError(
            "unknown_simulation",
            f"{where}: {column} '{cell}' names no simulated tissue.",
            f"Known: {', '.join(sources.SIMULATED + name for name in tissues)}.",
        )
    for url in cell.split() if sources.is_remote(cell) else []:
        pinned = url.partition("#")[2]
        if pinned and not re.fullmatch(r"sha256=[0-9a-fA-F]{64}", pinned):
            raise InputError(
                "bad_hash",
                f"{where}: {column} '{url}' is not pinned by a SHA-256.",
                "Write #sha256= and 64 hexadecimal digits behind the URL, or leave it out.",
            )


def _mpp(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0.01 <= value <= 1000:
        raise InputError(
            "bad_mpp",
            f"{where}: mpp is '{text}', not a number of µm per pixel between 0.01 and 1000.",
            "Write the size of a full-resolution pixel in µm, e.g. 0.5 (where coordinates are array units: "
            "the pitch, e.g. 200), or leave the cell empty.",
        )
    return value


def _read_sheet(path: str | Path, row_type: type, required: tuple[str, ...], may_be_empty: bool = False):
    path = Path(path)
    known = [column.name for column in fields(row_type)]
    if not path.is_file():
        raise InputError(
            "missing_sheet",
            f"The sheet {path} does not exist.",
            f"{sources.unset_variables(path)}Write it, or correct its path in the config.",
        )
    table = _read_cells(path, required)
    for column in table.columns:
        if column not in known:
            near = nearest(column, known)
            raise InputError(
                "unknown_column",
                f"{path}: column '{column}' is unknown.",
                f"Did you mean '{near}'? Known columns: {', '.join(known)}.",
            )
    for column in required:
        if column not in table.columns:
            raise InputError(
                "missing_column",
                f"{path}: column '{column}' is missing.",
                "Add it; columns are separated by tabs.",
            )
    if table.empty and not may_be_empty:
        raise InputError("empty_sheet", f"The sheet {path} has no rows.", "Add a row for each sample.")
    return table.reindex(columns=known, fill_value="")


def _read_cells(path: Path, required: tuple[str, ...]) -> pd.DataFrame:
    """The sheet's cells as text, by line of the file; comments and empty lines are left out.

    Not by pandas, which takes the first column for an index where every row ends in a tab too many, and would
    cut ``URL#sha256=…`` at its ``#``.
    """
    remedy = f"Write a tab-separated table with the columns {', '.join(required)}."
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError("unreadable_sheet", f"The sheet {path} is not UTF-8 ({error}).", remedy) from error
    written = {
        number: [cell.strip() for cell in line.rstrip().split("\t")]
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.startswith("#")
    }
    if not written:
        raise InputError("empty_sheet", f"The sheet {path} is empty.", remedy)
    header = written.pop(min(written))
    repeated = {name for name in header if header.count(name) > 1}
    if repeated:
        raise InputError(
            "duplicate_column", f"{path}: column '{min(repeated)}' stands twice.", "Leave one of them out."
        )
    for number, cells in written.items():
        if len(cells) > len(header):
            raise InputError(
                "unreadable_sheet",
                f"{path} line {number} has {len(cells)} cells, but there are {len(header)} columns.",
                "Separate cells by one tab each, and give every column a name in the first line.",
            )
    rows = [cells + [""] * (len(header) - len(cells)) for cells in written.values()]
    return pd.DataFrame(rows, columns=header, index=list(written), dtype=str)


def nearest(word: str, known: list[str] | tuple[str, ...]) -> str:
    """The known word most like `word`."""
    return max(known, key=lambda other: difflib.SequenceMatcher(None, word.lower(), other.lower()).ratio())


def _check_choice(value: str, column: str, known: tuple[str, ...], where: str) -> None:
    if value not in known:
        choices = [choice for choice in known if choice]
        hint = f"Did you mean '{nearest(value, choices)}'? " if choices else ""
        raise InputError(
            f"unknown_{column}",
            f"{where}: {column} '{value}' is unknown.",
            f"{hint}Known: {', '.join(choices) or 'none'}.",
        )


def _check_name(name: str, column: str, path: str | Path, line: int) -> None:
    if not re.fullmatch(NAME, name):
        raise InputError(
            "bad_name",
            f"{path} line {line}: {column} '{name}' is not usable as a name.",
            "Use 1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit.",
        )
