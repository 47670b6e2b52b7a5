"""The page of the cohort: a row per sample, quality against the facility's past, what the run cost, who won."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from tissuemake import contracts, files
from tissuemake.reporting import pages, scores
from tissuemake.reporting.batch_section import batch_section
from tissuemake.reporting.cohort_rows import ORDER, Entry, SampleFiles, rejected_entry, sample_entry
from tissuemake.reporting.control_charts import Chart, control_charts, flags_of
from tissuemake.reporting.control_figures import drawn
from tissuemake.reporting.multiqc import write_custom_content
from tissuemake.reporting.quality_table import as_table, read_history, write_quality
from tissuemake.reporting.runtime import Job, costs, read_benchmarks
from tissuemake.reporting.spot_models import clearest_pairs
from tissuemake.reporting.thumbnail import Stamp, stamp_for


def report_cohort(
    *,
    checks: dict[str, Path],
    rejected: dict[str, dict],
    rows: dict[str, dict],
    evaluations: list[Path],
    filtered: dict[str, Path],
    proportions: dict[str, dict[str, Path]],
    imputed: dict[str, dict[str, Path]],
    domains: dict[str, Path],
    output: Path,
    title: str = "Cohort",
    perturbation: Mapping[str, Path] = MappingProxyType({}),
    history: list[Path] | tuple[Path, ...] = (),
    benchmarks: Path | None = None,
    quality: Path | None = None,
    multiqc: Path | None = None,
) -> None:
    """Write the cohort's page, and beside it its quality table and what MultiQC reads.

    Parameters
    ----------
    checks
        Sample → ``check.json``; a failed check makes a red row.
    rejected
        Safe name → finding of a row that the sheet's reader set aside; its key ``sample`` is the name as given.
    rows
        Sample → its row of the sheet.
    evaluations
        Evaluation tables, per sample or per task; a row that stands in several counts once.
    filtered
        Sample → ``filtered.h5ad``, of the samples that went through.
    output
        The page. Sample pages are linked at ``../samples/SAMPLE/report.html`` beside its folder.
    proportions, imputed, domains
        Sample → (method →) file, for dominant types, time and memory.
    perturbation
        Model → pairs of ligand and target, the sections of the cohort combined.
    history
        Quality tables of other runs, the oldest first.
    benchmarks
        The run's folder of Snakemake's benchmarks.
    quality, multiqc
        Where to write the quality table, and the folder for MultiQC, if wanted.
    """
    evaluation = read_evaluations(evaluations)
    of_sample = dict(tuple(evaluation.groupby("sample"))) if len(evaluation) else {}
    picture = stamp_for(len(filtered))
    # In the order of the sheet, which is that of the quality table; the page begins with what went wrong.
    entries = [
        sample_entry(
            sample,
            files.read_json(path),
            rows.get(sample, {}),
            SampleFiles(
                filtered[sample], proportions.get(sample, {}), imputed.get(sample, {}), domains.get(sample)
            )
            if sample in filtered
            else None,
            of_sample.get(sample, evaluation.iloc[:0]),
            picture,
        )
        for sample, path in checks.items()
    ] + [rejected_entry(name, finding) for name, finding in rejected.items()]
    table = as_table([entry.quality for entry in entries])
    past = read_history(list(history))
    charts = control_charts(table, past)
    flags = flags_of(charts)
    table["outlier"] = ["; ".join(flag.said for flag in flags.get(name, [])) for name in table["sample"]]
    if quality:
        write_quality(table, quality)
    if multiqc:
        write_custom_content(
            table, {entry.name: entry.dropped for entry in entries if entry.dropped}, multiqc
        )
    html = cohort_html(
        entries,
        charts,
        batches=batch_section(table, past, filtered),
        title=title,
        picture=picture,
        evaluation=evaluation,
        jobs=read_benchmarks(benchmarks, set(rows)) if benchmarks else [],
        perturbation={
            model: contracts.read_table(path, contracts.PERTURBATION) for model, path in perturbation.items()
        },
        table_link=quality.name if quality else "",
    )
    pages.write_page(html, output)


def cohort_html(
    entries: list[Entry],
    charts: dict[str, list[Chart]],
    *,
    batches: list[dict],
    title: str,
    picture: Stamp,
    evaluation: pd.DataFrame,
    jobs: list[Job],
    perturbation: Mapping[str, pd.DataFrame] = MappingProxyType({}),
    table_link: str = "",
) -> str:
    """Return the page of rows that were read: `report_cohort` says what they are made of.

    Parameters
    ----------
    charts
        Group → charts, of `control_charts`.
    batches
        Of `batch_section`.
    picture
        How large the thumbnails in `entries` are.
    jobs
        Of `read_benchmarks`.
    perturbation
        Model → contract PERTURBATION.
    table_link
        Where the quality table lies, seen from the page.
    """
    return pages.render(
        "cohort.html.j2",
        styles=("base.css", "cohort.css"),
        scripts=("cohort.js",),
        title=title,
        entries=sorted(entries, key=lambda entry: (entry.rank, entry.name)),
        counts={status: sum(entry.status == status for entry in entries) for status in ORDER},
        groups=sorted({entry.quality["group"] for entry in entries} - {""}),
        observations=sum(entry.numbers.get("kept", 0) for entry in entries),
        picture=picture,
        flags=flags_of(charts),
        charts=[drawn(group, own) for group, own in charts.items()],
        batches=batches,
        **costs(jobs),
        tasks=scores.cohort_tables(evaluation),
        with_models=any(entry.models for entry in entries),
        perturbations=[{"method": model, **clearest_pairs(table)} for model, table in perturbation.items()],
        table_link=table_link,
    )


def read_evaluations(paths: list[Path]) -> pd.DataFrame:
    """Return all scores of the cohort as one table; empty when there are none."""
    tables = [contracts.read_table(path, contracts.EVALUATION) for path in paths]
    tables = [table for table in tables if len(table)]
    if not tables:
        return pd.DataFrame(columns=contracts.EVALUATION.columns)
    table = pd.concat(tables, ignore_index=True)
    # A baseline may stand in two groups of a task.
    named = [name for name in ("sample", "task", "group", "method", "metric") if name in table]
    return table.drop_duplicates(named)
