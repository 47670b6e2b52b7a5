"""Write the page of the cohort."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.reporting.cohort_page import report_cohort

    from tissuemake.files import read_json

    passed = read_json(snakemake.input.summary)["passed"]
    report_cohort(
        checks=dict(zip(snakemake.params.rows, map(Path, snakemake.input.checks), strict=True)),
        rejected=snakemake.params.rejected,
        rows=snakemake.params.rows,
        filtered=dict(zip(passed, map(Path, snakemake.input.filtered), strict=True)),
        evaluations=[Path(path) for path in snakemake.input.evaluation],
        output=Path(snakemake.output.page),
    )
