"""One scan of a drop folder: every sample in it is taken into the sheet, left to settle, or left out with a reason."""

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import yaml

from tissuemake.errors import InputError
from tissuemake.ingest import open_reader
from tissuemake.ingest.counts import check_counts
from tissuemake.intake.beside import Beside
from tissuemake.intake.candidates import Candidate, find_candidates
from tissuemake.intake.identity import identify
from tissuemake.intake.known_rows import KnownRows, located
from tissuemake.intake.leftovers import explain_loose
from tissuemake.intake.memory import Memory, one_scan_at_a_time, size_of, why_unsettled
from tissuemake.intake.naming import propose_name, unique
from tissuemake.intake.outcomes import (
    Outcome,
    ScanResult,
    duplicate,
    is_reference,
    own_result,
    removed,
    unexpected,
    without_coordinates,
)
from tissuemake.intake.pictures import choose, is_picture
from tissuemake.intake.propose import Profiles, propose
from tissuemake.intake.sheet import append_rows, read_sheet
from tissuemake.intake.spot_tables import find_arrays
from tissuemake.intake.walk import Entry, Folder, walk_inbox
from tissuemake.quality.matrix_checks import read_matrix
from tissuemake.sheets import Sample, read_references

SETTLE_S = 300.0
# A file that is not there may still come; any other fault is of what is there.
INCOMPLETE = ("missing_matrix", "missing_positions", "missing_bin")
FOLDERS = ("visium", "visium_hd", "xenium")


def scan_inbox(inbox: Path, run: Path, *, settle: float = SETTLE_S, dry_run: bool = False) -> ScanResult:
    """Take what is new and whole in `inbox` into the sample sheet of `run`.

    Parameters
    ----------
    inbox
        Folder into which runs are dropped; it is only read.
    run
        Run folder; its sheet is the one that its ``config/config.yaml`` names. ``config/inbox.json`` keeps what
        was found.
    settle
        Seconds for which nothing may have changed in a sample before it is taken.
    dry_run
        Look, write nothing.

    Raises
    ------
    InputError
        ``missing_inbox``, ``unreadable_inbox``, ``scan_running``; those of the two sheets, when a person must
        mend them first.
    """
    started, run = time.perf_counter(), Path(run)
    root = walk_inbox(Path(inbox), besides=(run,))
    if dry_run:
        result = _Scan(root, run, settle).look()
    else:
        with one_scan_at_a_time(run):
            scan = _Scan(root, run, settle)
            result = scan.look()
            scan.write(result)
    result.seconds = round(time.perf_counter() - started, 2)
    return result


class _Scan:
    def __init__(self, root: Folder, run: Path, settle: float) -> None:
        self.root, self.inbox, self.run, self.settle = root, root.path, run, settle
        self.samples_path, references_path = sheet_paths(run)
        self.references = read_references(references_path).rows if references_path.is_file() else {}
        self.atlases = {located(row.path, run): name for name, row in self.references.items()}
        self.memory = Memory(run)
        self.before = self.memory.of_inbox(self.inbox)
        sheet = read_sheet(self.samples_path, set(self.references))
        self.rows = KnownRows(run, self.samples_path, sheet, self.memory)
        self.profiles = Profiles(run)
        self.now = time.time()
        self.found: dict[str, dict] = {}

    def look(self) -> ScanResult:
        """Judge everything; the memory of rows and of what was found is filled, nothing is written."""
        candidates, loose = find_candidates(self.root)
        arrays, tables = find_arrays(loose)
        candidates = sorted([*candidates, *arrays], key=lambda candidate: str(candidate.path))
        images = [found.entry for found in loose] + [e for c in candidates for e in c.loose()]
        beside = Beside([entry for entry in images if is_picture(entry.path)], candidates)
        reading = self.rows.reading(candidates)
        owned = {entry.path for array in arrays for entry in array.entries} | self.rows.files
        result = ScanResult()
        for candidate in candidates:
            reach = beside.of(candidate)
            outcome = self._judge(candidate, reading.get(candidate.path, ""), reach)
            result.add(outcome)
            self._remember(candidate, outcome)
            chosen = {Path(outcome.row[key]) for key in ("image", "alignment") if outcome.row.get(key)}
            owned |= chosen or {entry.path for entry in reach}
        rest = [found for found in loose if found.entry.path not in owned]
        suspect = {path for candidate in candidates for path in candidate.suspect}
        for outcome in explain_loose(self.root, rest, tables, suspect):
            result.add(outcome)
        return result

    def _judge(self, candidate: Candidate, row: str, images: list[Entry]) -> Outcome:
        """Take, leave to settle, or leave out one candidate; nothing that is in it stops the scan."""
        outcome = Outcome(str(candidate.path), "left_out", candidate.assay)
        before = self.before.get(self._key(candidate), {})
        same_size = before.get("size") == size_of(candidate)
        if row:
            return _known(outcome, row, changed=bool(before) and not same_size)
        try:
            if candidate.path in self.atlases:
                raise is_reference(self.atlases[candidate.path])
            if candidate.suspect:
                raise next(iter(candidate.suspect.values()))
            waits = why_unsettled(candidate, images, before, self.now, self.settle)
            if waits is not None:
                return outcome.explained(waits, state="waiting")
            if same_size and (before["state"] in ("taken", "known") or before.get("code") == "removed"):
                return _about(outcome, before["sample"], removed)
            if same_size and before.get("code") == "duplicate" and before["sample"] in self.rows.names:
                return _about(outcome, before["sample"], duplicate)
            return self._take(candidate, images, outcome)
        except InputError as error:
            if candidate.assay == "h5ad" and error.code == "missing_positions":
                error = without_coordinates(candidate.path)
            come = error.code in INCOMPLETE and candidate.assay in FOLDERS
            return outcome.explained(error, state="waiting" if come else "left_out")
        except Exception as error:  # whatever a stranger's file makes a library raise
            return outcome.explained(unexpected(candidate.path, error), state="left_out")

    def _take(self, candidate: Candidate, images: list[Entry], outcome: Outcome) -> Outcome:
        name = own = propose_name(candidate.home, self.inbox, candidate.stem)
        row = Sample(name, candidate.assay, str(candidate.path), candidate.spots, candidate.bin_um)
        reader = open_reader(row)
        if getattr(reader, "uns", {}).get("tissuemake"):
            raise own_result(candidate.path)
        counts, stored = read_matrix(reader)
        check_counts(counts, reader.where(candidate.path))
        reader.join(counts, reader.positions())
        identity = identify(reader, counts, stored)
        same, again = self.rows.compare(identity)
        if same:
            return _about(outcome, same, duplicate)
        name = unique(again or own, self.rows.names)
        remarks = []
        if again:
            remarks.append(
                f"The same section as {again} with other counts (sequenced again?), so a row of its own; give both "
                "the same donor."
            )
        elif name != own:
            remarks.append(f"Another sample is called {own}; what is in it differs.")
        picture = choose(candidate, reader, images)
        remarks += [f"{picture.why}."] if picture.why else []
        proposal = propose(reader, counts, self.references, self.profiles)
        cells = {**row.as_dict(), "sample": name, "image": picture.image, "alignment": picture.alignment}
        cells |= {key: guess["value"] for key, guess in proposal.as_dict().items()}
        self.rows.add(name, identity, reader.files())
        taken = {"sample": name, "row": cells, "proposal": proposal.as_dict(), "message": " ".join(remarks)}
        return outcome.with_(state="taken", code="sequenced_again" if again else "taken", **taken)

    def _key(self, candidate: Candidate) -> str:
        return str(candidate.path.relative_to(self.inbox))

    def _remember(self, candidate: Candidate, outcome: Outcome) -> None:
        size, before = size_of(candidate), self.before.get(self._key(candidate), {})
        since = before.get("since", self.now) if before.get("size") == size else self.now
        self.found[self._key(candidate)] = {**_filled(outcome), "size": size, "since": since}

    def write(self, result: ScanResult) -> None:
        """The rows first: should the scan be killed between, the next one knows them by their paths."""
        scanned = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        if result.taken:
            remark = f"added by a scan, {scanned}: guesses to look over; how sure they are: config/inbox.json"
            rows = [Sample(**outcome.row) for outcome in result.taken]
            append_rows(self.samples_path, rows, remark, set(self.references))
        for outcome in result.left_out:
            self.found.setdefault(str(Path(outcome.path).relative_to(self.inbox)), _filled(outcome))
        self.memory.write(self.inbox, self.found, scanned)


def sheet_paths(run: Path) -> tuple[Path, Path]:
    """The two sheets that the run's config names."""
    config, named = run / "config" / "config.yaml", {}
    if config.is_file():
        try:
            named = yaml.safe_load(config.read_text(encoding="utf-8")) or {}
            named = {key: str(named[key]) for key in ("samples", "references") if key in named}
        except (yaml.YAMLError, UnicodeDecodeError, TypeError) as error:
            raise InputError(
                "unreadable_config", f"{config} is no config ({error}).", "Correct it."
            ) from error
    samples, references = (
        located(named.get(key, f"config/{key}.tsv"), run) for key in ("samples", "references")
    )
    return samples, references


def _known(outcome: Outcome, row: str, *, changed: bool) -> Outcome:
    if not changed:
        return outcome.with_(state="known", code="known", sample=row, message=f"The row {row} reads it.")
    message = (
        f"The row {row} reads it, and its files changed since the last scan: the next run works on it anew."
    )
    return outcome.with_(state="known", code="changed", sample=row, message=message)


def _about(outcome: Outcome, sample: str, why: Callable[[str], InputError]) -> Outcome:
    return outcome.with_(sample=sample).explained(why(sample), "left_out")


def _filled(outcome: Outcome) -> dict:
    return {key: value for key, value in asdict(outcome).items() if value}
