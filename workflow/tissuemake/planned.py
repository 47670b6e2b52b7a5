"""Ground floor: what a dry run would do, by sample and stage, and why; trainings first."""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

TRAININGS = ("pretrain_", "fit_", "import_")
# How Snakemake begins each part of a job's reason.
MISSING, INCOMPLETE = "Missing output files: ", "Incomplete output files: "
UPDATED, FOLLOWS = "Updated input files: ", "Input files updated by another job: "
INPUTS, CODE = "Set of input files has changed", "Code has changed"
PARAMS, SOFTWARE, FORCED = (
    "Params have changed",
    "Software environment definition has changed",
    "Forced execution",
)
PARTS = re.compile(
    "; (?=" + "|".join((MISSING, INCOMPLETE, UPDATED, FOLLOWS, INPUTS, CODE, PARAMS, SOFTWARE, FORCED)) + ")"
)
CHANGES = re.compile(r"before: (?P<before>.*) now: (?P<now>.*?)\s*$", re.DOTALL)
NEW, FAILED, UP_TO_DATE = "new sample", "failed its check", "up to date"


@dataclass(frozen=True)
class Job:
    """One job of a dry run: its rule, its wildcards, and Snakemake's reason."""

    rule: str
    wildcards: Mapping[str, str]
    reason: str

    @property
    def sample(self) -> str:
        """The sample that it works on, or nothing."""
        return self.wildcards.get("sample", "")

    @property
    def stage(self) -> str:
        """Its rule, and what tells it from others of the sample: ``deconvolve_spots nnls``."""
        return " ".join([self.rule, *(value for name, value in self.wildcards.items() if name != "sample")])

    @property
    def trains(self) -> bool:
        """Whether it trains or fits a model."""
        return self.rule.startswith(TRAININGS)

    def causes(self) -> list[str]:
        """Why it runs, in words; empty where it only follows another job."""
        parts = PARTS.split(self.reason)
        return [said for said in map(_in_words, parts) if said]


@dataclass
class Row:
    """What a plan says of one sample (or of models, references and the cohort together)."""

    stages: list[str] = field(default_factory=list)
    causes: dict[str, list[str]] = field(default_factory=dict)
    verdict: str = ""

    @property
    def why(self) -> str:
        """Why it runs: the verdict on the sample, or each cause with the stages where it strikes first."""
        struck = "; ".join(f"{cause} ({', '.join(stages)})" for cause, stages in self.causes.items())
        if self.verdict == FAILED and struck:
            return f"{FAILED}, and is checked again: {struck}"
        return self.verdict or struck or "follows what runs before it"


def plan_rows(jobs: Iterable[Job], samples: Iterable[str], known: Mapping[str, str]) -> dict[str, Row]:
    """Gather jobs by sample.

    Parameters
    ----------
    jobs
        Those of a dry run.
    samples
        Names in the sheet, in its order.
    known
        Sample → "" when its check passed, or why it failed; without those that were never checked.

    Returns
    -------
    A row for every sample, then, under the empty name, what belongs to none.
    """
    rows = {name: Row() for name in [*samples, ""]}
    jobs = list(jobs)
    order = {rule: place for place, rule in enumerate(dict.fromkeys(job.rule for job in jobs))}
    # Snakemake shuffles jobs that could run at once; samples of which the same is said are to read the same.
    for job in sorted(jobs, key=lambda job: (order[job.rule], job.stage)):
        row = rows.setdefault(job.sample, Row())
        row.stages.append(job.stage)
        for cause in job.causes():
            row.causes.setdefault(cause, []).append(job.stage)
    for name, row in rows.items():
        if name and name not in known:
            row.verdict = NEW
        elif known.get(name):
            row.verdict = FAILED if row.stages else f"{FAILED}: {known[name]}"
        elif not row.stages:
            row.verdict = UP_TO_DATE
    return rows


def plan_text(run: str, rows: Mapping[str, Row], jobs: list[Job], rejected: Mapping[str, str]) -> str:
    """Return the plan for reading: trainings, then samples of which the same is said together, then totals."""
    lines = [f"Plan of {run}: {len(jobs)} jobs. Nothing was run."]
    trainings = [job for job in jobs if job.trains]
    for job in trainings:
        lines.append(f"!! TRAINS {job.stage}: {'; '.join(job.causes()) or 'follows what runs before it'}")
    if not trainings:
        lines.append("No model is trained or fitted.")
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, row in rows.items():
        if name:
            alike.setdefault((row.why, *row.stages), []).append(name)
    for (why, *stages), names in alike.items():
        lines += ["", f"{_names(names)}: {why}"]
        each = f"{len(stages)} jobs each: " if names[1:] else f"{len(stages)} jobs: "
        lines += [f"  {each}{', '.join(stages)}"] if stages else []
    lines += [f"\n{name}: its row of the sheet is refused: {said}" for name, said in rejected.items()]
    shared = rows[""]
    if shared.stages:
        lines += ["", f"References, models and the cohort: {shared.why}", f"  {', '.join(shared.stages)}"]
    if jobs:
        counted = Counter(job.rule for job in jobs).most_common()
        lines += ["", "Jobs by rule: " + ", ".join(f"{rule} {number}" for rule, number in counted)]
    return "\n".join(lines)


def _names(names: list[str], most: int = 6) -> str:
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def _in_words(part: str) -> str:
    """One part of Snakemake's reason, shorter; nothing for a job that follows another."""
    if part.startswith(FOLLOWS):
        return ""
    if part.startswith(PARAMS):
        changed = _change(part)
        return f"{'input' if ' written 2' in changed else 'parameter'} changed: {changed}"
    if part.startswith(UPDATED):
        return f"input changed: {part.removeprefix(UPDATED)}"
    for start, words in (
        (MISSING, "not made yet"),
        (INCOMPLETE, "was stopped in the middle"),
        (INPUTS, "asks for other files than before"),
        (CODE, "the workflow's code changed"),
        (SOFTWARE, "its software environment changed"),
        (FORCED, "asked for by hand"),
    ):
        if part.startswith(start):
            return words
    return part


def _change(part: str) -> str:
    """What changed among parameters, of which Snakemake says the values alone; of tables the keys as well."""
    said = CHANGES.search(part)
    if said is None:
        return part
    before, now = (_values(said[name]) for name in ("before", "now"))
    if len(before) == len(now) == 1 and isinstance(before[0], dict) and isinstance(now[0], dict):
        keys = [key for key in {**before[0], **now[0]} if before[0].get(key) != now[0].get(key)]
        return ", ".join(f"{key} {before[0].get(key)!r} → {now[0].get(key)!r}" for key in keys)
    # Of equal values Snakemake tells one: the other side may be empty though nothing came or went.
    if not before or not now:
        return f"now {_short(now)}" if now else f"no longer {_short(before)}"
    return f"{_short(before)} → {_short(now)}"


def _values(text: str) -> list:
    if text.startswith("<nothing"):
        return []
    try:
        return list(ast.literal_eval(f"[{text}]"))
    except (SyntaxError, ValueError):
        return [text]


def _short(values: list, most: int = 120) -> str:
    text = ", ".join(repr(value) for value in values)
    return text if len(text) <= most else f"{text[:most]}…"
