"""Say which samples go on."""

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.files import read_json, write_json

    verdicts = {
        sample: read_json(path)["status"]
        for sample, path in zip(snakemake.params.samples, snakemake.input.checks, strict=True)
    }
    write_json(
        {
            "passed": [sample for sample, status in verdicts.items() if status != "fail"],
            "failed": [sample for sample, status in verdicts.items() if status == "fail"],
            "rejected": snakemake.params.rejected,
        },
        snakemake.output.summary,
    )
