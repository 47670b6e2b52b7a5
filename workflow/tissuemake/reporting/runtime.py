"""What the steps of a run cost, from the files that Snakemake's ``benchmark:`` leaves behind."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tissuemake.reporting.pages import json_block


@dataclass(frozen=True)
class Job:
    """One job: its step, its sample if it has one, seconds, and MB of memory (NaN where too short to be seen)."""

    stage: str
    sample: str
    seconds: float
    memory: float


def read_benchmarks(folder: str | Path, samples: Collection[str]) -> list[Job]:
    """Return the jobs whose benchmark lies below `folder`, of these samples or of none.

    They stay from run to run: a job that was not run again keeps its cost. A damaged file says nothing.
    """
    folder = Path(folder)
    jobs = []
    for path in sorted(folder.rglob("*.tsv")):
        stage, sample = _step(path.relative_to(folder).with_suffix("").parts)
        cost = None if sample and sample not in samples else _cost(path)
        if cost:
            jobs.append(Job(stage, sample, *cost))
    return jobs


def _step(parts: tuple[str, ...]) -> tuple[str, str]:
    """Step and sample of what lies at ``samples/NAME/imputed/sagefm``, ``delivery/NAME``, ``models/NAME`` and so on."""
    if parts[0] == "samples" and len(parts) > 2:
        return "/".join(parts[2:]), parts[1]
    if parts[0] == "delivery":
        return "delivery", parts[-1]
    if parts[0] == "references" and len(parts) > 2:
        return f"reference: {'/'.join(parts[2:])}", ""
    return ": ".join(("model" if parts[0] == "models" else parts[0], *parts[1:])), ""


def _cost(path: Path) -> tuple[float, float] | None:
    """Seconds and largest resident memory of the last row; pandas would take a second for a thousand of these."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        row = dict(zip(lines[0].split("\t"), lines[-1].split("\t"), strict=True))
        seconds = float(row["s"])
    except (OSError, ValueError, KeyError, IndexError):
        return None
    try:
        return seconds, float(row.get("max_rss", "nan"))
    except ValueError:  # a job shorter than one look at its memory has "NA"
        return seconds, float("nan")


def by_stage(jobs: list[Job]) -> list[dict]:
    """Return a row per step, the dearest first: jobs, median, longest and sum of seconds, median and most memory."""
    return sorted(_stages(jobs), key=lambda row: -row["sum"])


def _stages(jobs: list[Job]) -> Iterator[dict]:
    total = sum(job.seconds for job in jobs) or 1.0
    for stage in dict.fromkeys(job.stage for job in jobs):
        own = [job for job in jobs if job.stage == stage]
        seconds = np.array([job.seconds for job in own])
        memory = np.array([job.memory for job in own])
        seen = memory[np.isfinite(memory)]
        longest = own[int(seconds.argmax())]
        yield {
            "stage": stage,
            "jobs": len(own),
            "median": float(np.median(seconds)),
            "longest": float(seconds.max()),
            "longest_sample": longest.sample,
            "sum": float(seconds.sum()),
            "share": float(seconds.sum()) / total,
            "memory": float(np.median(seen)) if len(seen) else float("nan"),
            "most_memory": float(seen.max()) if len(seen) else float("nan"),
        }


def by_sample(jobs: list[Job]) -> dict[str, list[Job]]:
    """Return each sample's jobs, the dearest first."""
    found: dict[str, list[Job]] = {}
    for job in sorted(jobs, key=lambda job: -job.seconds):
        if job.sample:
            found.setdefault(job.sample, []).append(job)
    return found


def costs(jobs: list[Job]) -> dict:
    """Steps for the table, each sample's sum for its row, and what a row shows of its steps when asked."""
    stages, samples = by_stage(jobs), by_sample(jobs)
    order = {row["stage"]: i for i, row in enumerate(stages)}
    return {
        "stages": stages,
        "spent": {
            name: {
                "seconds": sum(job.seconds for job in own),
                "memory": max((job.memory for job in own if job.memory == job.memory), default=None),
            }
            for name, own in samples.items()
        },
        "steps": json_block(
            {
                "stages": [row["stage"] for row in stages],
                "samples": {
                    name: [[order[job.stage], round(job.seconds, 2), round(job.memory, 1)] for job in own]
                    for name, own in samples.items()
                },
            }
        ),
    }
