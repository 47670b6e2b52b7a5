"""The sample sheet as a person keeps it: read as it is written, rows added at its end, nothing else touched."""

import codecs
from pathlib import Path

from tissuemake.errors import InputError
from tissuemake.files import atomic
from tissuemake.sheets import Sample, Sheet, read_samples

COLUMNS = (
    "sample", "assay", "path", "spots", "bin_um", "image", "mpp", "alignment", "organism", "tissue", "donor",
    "reference", "pretrain", "labels", "truth",
)  # fmt: skip


def read_sheet(path: Path, references: set[str]) -> Sheet:
    """The sheet's rows; none where it does not exist or holds no row yet.

    Raises
    ------
    InputError
        As `sheets.read_samples`, when a person must mend the sheet first.
    """
    if not path.is_file():
        return Sheet()
    try:
        return read_samples(path, references)
    except InputError as error:
        if error.code == "empty_sheet":
            return Sheet()
        raise


def read_cells(path: Path) -> list[dict[str, str]]:
    """Every row as it is written, by column, also rows that cannot run."""
    if not path.is_file():
        return []
    lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if not line.startswith("#")]
    rows = [[cell.strip() for cell in line.split("\t")] for line in lines if line.strip()]
    return [dict(zip(rows[0], row, strict=False)) for row in rows[1:]]


def append_rows(path: Path, rows: list[Sample], remark: str, references: set[str]) -> None:
    """Add `rows` and a comment before them; all that stands in the sheet stays byte for byte.

    A column that the sheet does not have yet is added at the end of the header, where rows without it are
    complete.

    Raises
    ------
    InputError
        ``sheet_changed`` when somebody wrote the sheet meanwhile; those of `read_samples`.
    """
    before = path.read_bytes() if path.is_file() else b""
    written = _with_rows(before, [_cells(row) for row in rows], remark)
    with atomic(path) as partial:
        partial.write_bytes(written)
        if path.is_file():
            partial.chmod(path.stat().st_mode & 0o777)
        accepted = read_samples(partial, references)
        refused = [row.sample for row in rows if row.sample not in accepted.rows]
        if refused:
            raise InputError(
                "row_refused",
                f"{path}: the new row '{refused[0]}' would not run: "
                f"{accepted.rejected.get(refused[0], {}).get('message', 'its name is taken')}",
                "Add the row by hand and report this.",
            )
        if (path.read_bytes() if path.is_file() else b"") != before:
            raise InputError(
                "sheet_changed",
                f"{path} was written by somebody else just now.",
                "Scan again; nothing was added.",
            )


def _cells(row: Sample) -> dict[str, str]:
    cells = {key: "" if value is None else str(value) for key, value in row.as_dict().items()}
    return {**cells, "pretrain": "yes" if row.pretrain else ""}


def _with_rows(before: bytes, rows: list[dict[str, str]], remark: str) -> bytes:
    mark = codecs.BOM_UTF8 if before.startswith(codecs.BOM_UTF8) else b""
    lines = before.removeprefix(mark).splitlines(keepends=True)
    end = b"\r\n" if any(line.endswith(b"\r\n") for line in lines) else b"\n"
    place = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith(b"#")), None)
    if place is None:
        header = list(COLUMNS)
        lines = [*_ended(lines, end), "\t".join(header).encode() + end]
    else:
        text = lines[place].rstrip(b"\r\n")
        header = [cell.strip() for cell in text.decode().rstrip().split("\t")]
        lacking = [name for name in COLUMNS if name not in header and any(row[name] for row in rows)]
        if lacking:
            lines[place] = "\t".join([text.decode().rstrip(), *lacking]).encode() + lines[place][len(text) :]
            header += lacking
        lines = _ended(lines, end)
    added = [f"# {remark}", *("\t".join(row[name] for name in header) for row in rows)]
    return mark + b"".join(lines) + b"".join(line.rstrip("\t").encode() + end for line in added)


def _ended(lines: list[bytes], end: bytes) -> list[bytes]:
    """The last line gets the end that it lacks."""
    if lines and not lines[-1].endswith((b"\n", b"\r")):
        return [*lines[:-1], lines[-1] + end]
    return lines
