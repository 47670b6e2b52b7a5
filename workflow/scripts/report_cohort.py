"""Write the page of the cohort."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.files import read_json
    from tissuemake.reporting.cohort_page import report_cohort

    passed = read_json(snakemake.input.summary)["passed"]
    by_method = {kind: {sample: {} for sample in passed} for kind in ("proportions", "imputed")}
    for kind, files in by_method.items():
        for path in map(Path, snakemake.input[kind]):
            files[path.parents[1].name][path.stem] = path
    report_cohort(
        checks=dict(zip(snakemake.params.rows, map(Path, snakemake.input.checks), strict=True)),
        rejected=snakemake.params.rejected,
        rows=snakemake.params.rows,
        filtered=dict(zip(passed, map(Path, snakemake.input.filtered), strict=True)),
        domains=dict(zip(passed, map(Path, snakemake.input.domains), strict=True)),
        evaluations=[Path(path) for path in snakemake.input.evaluation],
        perturbation={"sagefm": Path(str(snakemake.input.perturbation))}
        if snakemake.input.perturbation
        else {},
        history=[Path(path) for path in snakemake.input.history],
        benchmarks=Path(snakemake.params.benchmarks),
        output=Path(snakemake.output.page),
        quality=Path(snakemake.output.quality),
        multiqc=Path(snakemake.output.multiqc),
        **by_method,
    )
