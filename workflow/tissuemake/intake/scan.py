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
from tissuemake.intake.candidates import Candidate, find_candidates
from tissuemake.intake.identity import Identity, identify, state_of
from tissuemake.intake.leftovers import explain_loose
from tissuemake.intake.memory import Memory, one_scan_at_a_time, size_of, why_unsettled
from tissuemake.intake.naming import propose_name, unique
from tissuemake.intake.outcomes import Outcome, ScanResult, duplicate, removed
from tissuemake.intake.pictures import Picture, choose, in_reach, is_picture
from tissuemake.intake.propose import Profiles, Proposal, propose
from tissuemake.intake.sheet import append_rows, names_and_paths, read_sheet
from tissuemake.intake.spot_tables import find_arrays
from tissuemake.intake.walk import walk_inbox
from tissuemake.quality.matrix_checks import read_matrix
from tissuemake.sheets import Reference, Sample, read_references

SETTLE_S = 300.0
# A file that is not there may still come; any other fault is of what is there.
INCOMPLETE = ("missing_matrix", "missing_positions", "missing_bin", "missing_column", "missing_alignment")


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
    started, inbox, run = time.perf_counter(), Path(inbox), Path(run)
    root = walk_inbox(inbox, besides=(run,))
    if dry_run:
        result = _Scan(root.path, run, settle).scan(root, write=False)
    else:
        with one_scan_at_a_time(run):
            result = _Scan(root.path, run, settle).scan(root, write=True)
    result.seconds = round(time.perf_counter() - started, 2)
    return result


class _Scan:
    def __init__(self, inbox: Path, run: Path, settle: float) -> None:
        self.inbox, self.run, self.settle = inbox, run, settle
        self.samples_path, references_path = sheet_paths(run)
        self.references: dict[str, Reference] = (
            read_references(references_path).rows if references_path.is_file() else {}
        )
        self.sheet = read_sheet(self.samples_path, set(self.references))
        self.written = names_and_paths(self.samples_path)
        self.names = {name for name, _ in self.written}
        self.memory = Memory(run)
        self.before = self.memory.of_inbox(inbox)
        self.profiles = Profiles(run)
        self.now = time.time()
        self.found: dict[str, dict] = {}
        self.identities: dict[str, Identity] | None = None

    def scan(self, root, *, write: bool) -> ScanResult:
        candidates, loose = find_candidates(root)
        arrays, tables = find_arrays(loose)
        candidates = sorted([*candidates, *arrays], key=lambda candidate: str(candidate.path))
        owned = {entry.path for array in arrays for entry in array.entries}
        images = [found.entry for found in loose if is_picture(found.entry.path)]
        images += [
            entry
            for c in candidates
            for entry in c.entries
            if entry.path.parent == c.home and is_picture(entry.path)
        ]
        result, rows = ScanResult(), []
        for candidate in candidates:
            reach = in_reach(candidate, images, candidates)
            outcome = self._judge(candidate, reach)
            result.add(outcome)
            self._remember(candidate, outcome)
            if outcome.state == "taken":
                rows.append(Sample(**outcome.row))
                owned |= {Path(outcome.row[key]) for key in ("image", "alignment") if outcome.row[key]}
        rest = [found for found in loose if found.entry.path not in owned]
        suspect = {path for candidate in candidates for path in candidate.suspect}
        for outcome in explain_loose(root, rest, tables, suspect):
            result.add(outcome)
        if write:
            self._write(rows, result)
        return result

    def _judge(self, candidate: Candidate, images: list) -> Outcome:
        """Take, leave to settle, or leave out one candidate."""
        outcome = Outcome(str(candidate.path), "left_out", candidate.assay)
        try:
            known = self._row_that_reads(candidate)
            if known:
                return outcome.with_(
                    state="known", sample=known, code="known", message=f"the row {known} reads it"
                )
            if candidate.suspect:
                raise next(iter(candidate.suspect.values()))
            before = self.before.get(self._key(candidate), {})
            waits = why_unsettled(candidate, before, self.now, self.settle)
            if waits is not None:
                return outcome.explained(waits, state="waiting")
            if before.get("size") == size_of(candidate):
                if before["state"] == "taken":
                    return _about(outcome, before["sample"], removed)
                if before.get("code") == "duplicate" and before.get("sample") in self.names:
                    return _about(outcome, before["sample"], duplicate)
            return self._take(candidate, images, outcome)
        except InputError as error:
            return outcome.explained(
                error, state="waiting" if _may_still_come(candidate, error) else "left_out"
            )

    def _take(self, candidate: Candidate, images: list, outcome: Outcome) -> Outcome:
        own = propose_name(candidate.home, self.inbox, candidate.stem, ())
        name = propose_name(candidate.home, self.inbox, candidate.stem, self.names)
        row = Sample(
            name, candidate.assay, str(candidate.path), spots=candidate.spots, bin_um=candidate.bin_um
        )
        reader = open_reader(row)
        counts, stored = read_matrix(reader)
        check_counts(counts, reader.where(candidate.path))
        reader.join(counts, reader.positions())
        identity = identify(reader, counts, stored)
        same, again = self._compare(identity)
        if same:
            return _about(outcome, same, duplicate)
        remark = ""
        if again:
            name = unique(again, self.names)
            remark = (
                f"the same section as {again} with other counts (sequenced again?), so a row of its own. "
            )
        elif own in self.names:
            name = unique(own, self.names)
            remark = f"another folder of this name became {own}; what is in it differs. "
        picture = choose(candidate, reader, images)
        proposal = propose(reader, counts, self.references, self.profiles)
        row = _row(row, name, picture, proposal)
        self.names.add(name)
        self._identities()[name] = identity
        self.memory.rows[name] = {"state": state_of(reader.files()), **identity.as_dict()}
        remark += f"{picture.why}. " if picture.why else ""
        remark += _undecided(proposal)
        return outcome.with_(
            state="taken", sample=name, row=row.as_dict(), proposal=proposal.as_dict(), message=remark.strip(),
            code="taken",
        )  # fmt: skip

    def _row_that_reads(self, candidate: Candidate) -> str:
        """The row of the sheet whose path leads to this candidate."""
        for name, cell in self.written:
            if not cell or "://" in cell:
                continue
            path = self._absolute(cell)
            if path == candidate.path:
                return name
            whole = candidate.path == candidate.home
            if whole and path.is_relative_to(candidate.path):
                return name
            if whole and candidate.path in (path / "outs",):
                return name
        return ""

    def _absolute(self, cell: str) -> Path:
        path = Path(Sample("x", "x", cell).located().path)
        return (path if path.is_absolute() else self.run / path).resolve()

    def _compare(self, identity: Identity) -> tuple[str, str]:
        """The row with the same counts, and one with the same places; empty where there is none."""
        known = self._identities()
        same = next((name for name, other in known.items() if other.counts == identity.counts), "")
        there = [name for name, other in known.items() if identity.places and other.places == identity.places]
        return same, there[0] if there else ""

    def _identities(self) -> dict[str, Identity]:
        """Of every row whose files are here: remembered, or read where they changed since."""
        if self.identities is None:
            self.identities = {}
            for name, row in self.sheet.rows.items():
                found = self._identity_of(name, row)
                if found is not None:
                    self.identities[name] = found
        return self.identities

    def _identity_of(self, name: str, row: Sample) -> Identity | None:
        located = row.located(str(self.run / "results")).as_dict()
        for column in ("path", "spots", "image", "alignment"):
            if located[column]:
                located[column] = str(self._absolute(located[column]))
        if not Path(located["path"]).exists():
            return None
        known = self.memory.rows.get(name, {})
        try:
            reader = open_reader(Sample(**located))
            state = state_of(reader.files())
            if known.get("state") != state:
                identity = identify(reader, *read_matrix(reader))
                known = self.memory.rows[name] = {"state": state, **identity.as_dict()}
        except (InputError, OSError):
            return None  # the check of that sample says what is wrong with it
        return Identity(known["counts"], known["places"])

    def _key(self, candidate: Candidate) -> str:
        return str(candidate.path.relative_to(self.inbox))

    def _remember(self, candidate: Candidate, outcome: Outcome) -> None:
        size, before = size_of(candidate), self.before.get(self._key(candidate), {})
        since = before.get("since", self.now) if before.get("size") == size else self.now
        entry = {key: value for key, value in asdict(outcome).items() if value}
        entry |= {"size": size, "since": since}
        self.found[self._key(candidate)] = entry

    def _write(self, rows: list[Sample], result: ScanResult) -> None:
        scanned = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        if rows:
            remark = f"added by a scan, {scanned}: guesses to look over; how sure they are: config/inbox.json"
            append_rows(self.samples_path, rows, remark, set(self.references))
        for outcome in result.left_out:
            key = str(Path(outcome.path).relative_to(self.inbox))
            self.found.setdefault(key, {key: value for key, value in asdict(outcome).items() if value})
        self.memory.write(self.inbox, self.found, scanned)


def _about(outcome: Outcome, sample: str, why: Callable[[str], InputError]) -> Outcome:
    return outcome.with_(sample=sample).explained(why(sample), "left_out")


def _may_still_come(candidate: Candidate, error: InputError) -> bool:
    return error.code in INCOMPLETE and candidate.assay in ("visium", "visium_hd", "xenium")


def sheet_paths(run: Path) -> tuple[Path, Path]:
    """The two sheets that the run's config names."""
    config = run / "config" / "config.yaml"
    named = {}
    if config.is_file():
        try:
            named = yaml.safe_load(config.read_text(encoding="utf-8")) or {}
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(
                "unreadable_config", f"{config} is not YAML ({error}).", "Correct it."
            ) from error
    cells = [named.get(key, f"config/{key}.tsv") for key in ("samples", "references")]
    samples, references = (run / Path(Sample("x", "x", str(cell)).located().path) for cell in cells)
    return samples, references


def _row(row: Sample, name: str, picture: Picture, proposal: Proposal) -> Sample:
    cells = {**row.as_dict(), "sample": name, "image": picture.image, "alignment": picture.alignment}
    cells |= {key: getattr(proposal, key).value for key in ("organism", "tissue", "reference")}
    return Sample(**cells)


def _undecided(proposal: Proposal) -> str:
    unsure = [name for name in ("organism", "tissue", "reference") if not getattr(proposal, name).value]
    return f"Not told: {', '.join(unsure)}." if unsure else ""
