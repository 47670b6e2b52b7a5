"""The cohort's page when a run stopped early: what finished, and a red row with its reason for what did not."""

import re
from pathlib import Path

from tissuemake import files
from tissuemake.reporting.cohort_page import report_cohort
from tissuemake.reporting.cohort_rows import UNFINISHED

# As `logs.logged` ends the log of a job whose error a person can mend.
_SAID = re.compile(r"^ERROR \[(?P<code>\w+)\] (?P<message>.*)\nREMEDY (?P<remedy>.*)$", re.MULTILINE)


def report_unfinished(
    rows: dict[str, dict], rejected: dict[str, dict], output: Path, *, results: Path, logs: Path
) -> None:
    """Write the page from the files that are there.

    Parameters
    ----------
    rows, rejected
        As for ``report_cohort``.
    output
        The page, a folder below `results` like the finished one.
    results, logs
        The run's folders of those names.
    """
    folders = {sample: results / "samples" / sample for sample in rows}
    checked = {sample: folder for sample, folder in folders.items() if (folder / "check.json").is_file()}
    done = {sample: folder for sample, folder in checked.items() if (folder / "report.html").is_file()}
    failed = {
        sample: {**(logged_error(logs / "samples" / sample) or UNFINISHED), "sample": sample}
        for sample, folder in checked.items()
        if sample not in done and files.read_json(folder / "check.json")["status"] != "fail"
    }
    report_cohort(
        checks={sample: folder / "check.json" for sample, folder in checked.items() if sample not in failed},
        rejected={**rejected, **failed},
        rows=rows,
        evaluations=[folder / "evaluation.parquet" for folder in done.values()],
        filtered={sample: folder / "filtered.h5ad" for sample, folder in done.items()},
        proportions={sample: _by_name(folder / "proportions") for sample, folder in done.items()},
        imputed={sample: _by_name(folder / "imputed") for sample, folder in done.items()},
        domains={sample: folder / "domains.parquet" for sample, folder in done.items()},
        output=output,
        title="Cohort, unfinished",
        benchmarks=results.parent / "benchmarks",
    )


def logged_error(folder: Path) -> dict | None:
    """Return the newest error that a job left in its log below `folder`, as a finding; None if there is none."""
    for log in sorted(folder.rglob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True):
        said = _SAID.search(log.read_text(encoding="utf-8", errors="replace"))
        if said:
            return {"level": "fail", **said.groupdict()}
    return None


def _by_name(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("[!.]*"))}
